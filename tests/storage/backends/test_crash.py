"""A Postgres server that crashes: who is at work is told so, and goes on with the store that is open."""

from uuid import uuid4

import pytest

from molbuffer.storage import SampleStore, may_pass
from molbuffer.storage.errors import CatalogUnavailableError
from molbuffer.storage.records import Commit, Score


@pytest.fixture
def server(services):
    with services.postgres_that_crashes() as server:
        yield server


def test_a_crash_passes_and_the_store_that_is_open_goes_on(server, services, tmp_path, make):
    place = {"catalog": f"{server.address}/postgres", "catalog_schema": f"lab_{uuid4().hex}"}
    place["data_path"] = str(tmp_path / "data")
    first, second = (Commit([make.make_build(iteration, policy_sha256=None)]) for iteration in range(2))
    score = [Score("CC", "docking", "v1", -7.5)]
    with SampleStore.create(tmp_path / "store", **place) as store:
        store.start_run(make.make_run())
        store.commit(first)
        server.crash()
        for work in (
            lambda: store.commit(second),
            lambda: store.record_scores(score),
            lambda: store.receipts("run-1"),
            lambda: store.claims.claim("docking", "v1", ["C"], "owner", 60),
            lambda: SampleStore.open(store.path),
        ):
            with pytest.raises(CatalogUnavailableError) as told:
                work()
            assert may_pass(told.value)
        server.start()
        # What was acknowledged is there once, and what was not is stored now, once.
        (again,), (new,) = (
            services.attempt(lambda commit=commit: store.commit(commit)).builds for commit in (first, second)
        )
        assert (again.repeated, new.repeated) == (True, False)
        services.attempt(lambda: store.record_scores(score))
        assert store.find_scores("docking", "v1", ["CC"])["CC"].value == -7.5
        assert store.claims.claim("docking", "v1", ["C"], "owner", 60) == {"C"}
        assert store.query("SELECT count(*), count(DISTINCT build_id) FROM samples").rows() == [(12, 2)]
        assert [damage.message for damage in store.verify().errors] == []
