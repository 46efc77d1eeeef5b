"""A COMMIT that the server has done and whose answer is lost: nothing that the catalog refers to is removed."""

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from molbuffer.storage import SampleStore, may_pass
from molbuffer.storage.errors import CatalogUnavailableError
from molbuffer.storage.records import Commit, Score


@pytest.fixture
def path(services, postgres_server):
    with services.lossy_path(postgres_server) as path:
        yield path


@pytest.fixture(params=["folder", "object store"])
def place(request, path, tmp_path):
    """What makes a store on the way that loses answers."""
    data = str(tmp_path / "data") if request.param == "folder" else request.getfixturevalue("s3_environment")
    return {"catalog": f"{path.address}/postgres", "catalog_schema": f"lab_{uuid4().hex}", "data_path": data}


@pytest.fixture
def store(place, tmp_path, make):
    with SampleStore.create(tmp_path / "store", **place) as store:
        store.start_run(make.make_run())
        yield store


@pytest.fixture
def elsewhere(postgres_server, store, place, tmp_path):
    """Opens the store on another host, whose way to the server is whole."""

    @contextmanager
    def opened():
        folder = tmp_path / f"host_{uuid4().hex}"
        folder.mkdir()
        described = (store.path / "store.toml").read_text()
        (folder / "store.toml").write_text(described.replace(place["catalog"], f"{postgres_server}/postgres"))
        with SampleStore.open(folder) as there:
            yield there
        shutil.rmtree(folder)

    return opened


def scores(*smiles):
    return [Score(each, "docking", "v1", -float(len(each))) for each in smiles]


def lose_answer(path, work):
    """Work whose COMMIT is done and seems to have failed; the server cannot be reached any more."""
    path.lose_next_answer()
    with pytest.raises(CatalogUnavailableError) as told:
        work()
    assert may_pass(told.value)
    assert path.lost


def test_scores_stay(store, services, path, elsewhere):
    store.record_scores(scores("C"))
    lose_answer(path, lambda: store.record_scores(scores("CC")))
    with elsewhere() as there:
        assert there.find_scores("docking", "v1", ["C", "CC"]).keys() == {"C", "CC"}
    path.mend()
    services.attempt(lambda: store.record_scores(scores("CC", "CCC")))
    assert store.find_scores("docking", "v1", ["CC"])["CC"].value == -2
    assert store.query("SELECT count(*), count(DISTINCT smiles) FROM scores").rows() == [(3, 3)]
    assert store.verify().errors == ()


def test_a_build_stays_and_counts_once(store, services, path, elsewhere, make):
    commit = Commit([make.make_build(0, policy_sha256=None)])
    lose_answer(path, lambda: store.commit(commit))
    with elsewhere() as there:
        rows = there.query("SELECT count(*) FROM samples").rows()
        assert rows[0][0] > 0
    path.mend()
    (again,) = services.attempt(lambda: store.commit(commit)).builds
    assert again.repeated
    assert store.query("SELECT count(*) FROM samples").rows() == rows
    assert store.verify().errors == ()


def test_rows_that_a_compaction_has_merged_stay(store, services, path, elsewhere):
    for number in range(4):
        store.record_scores(scores("C" * (number + 1)))
    lose_answer(path, store.maintenance.compact)
    with elsewhere() as there:
        assert there.query("SELECT smiles FROM scores ORDER BY smiles").rows() == [("C",), ("CC",), ("CCC",), ("CCCC",)]
        assert there.verify().errors == ()
    path.mend()
    services.attempt(store.maintenance.compact)
    assert store.query("SELECT count(*) FROM scores").rows() == [(4,)]
    assert store.verify().errors == ()


def test_nothing_is_left_of_the_second_path(store, place, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with SampleStore.open(store.path) as opened:
        opened.record_scores(scores("C"))
        links = [link for link in Path(tmp_path).glob("molbuffer-*/*") if link.is_symlink()]
        assert len(links) == (0 if place["data_path"].startswith("s3://") else 1)
    assert list(Path(tmp_path).glob("molbuffer-*")) == []


def test_a_store_that_is_closed_leaves_the_path_of_another(store):
    with SampleStore.open(store.path) as other:
        other.record_scores(scores("C"))
        store.record_scores(scores("CC"))
    store.record_scores(scores("CCC"))
    assert store.query("SELECT count(*) FROM scores").item() == 3
