"""What every store promises, wherever its catalog and its files are: one class of tests for each pair of places."""

import dataclasses
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, nullcontext
from datetime import timedelta
from uuid import uuid4

import numpy as np
import pytest
from safetensors.numpy import save

from molbuffer.storage import SampleStore
from molbuffer.storage.backends import postgres
from molbuffer.storage.backends.engine import one_line
from molbuffer.storage.errors import (
    ArchiveError,
    CatalogUnavailableError,
    MaintenanceBusyError,
    QueryError,
    StoreExistsError,
    StoreModeError,
    StorePlaceError,
)
from molbuffer.storage.files.places import delete
from molbuffer.storage.history.cache import DecodedCache
from molbuffer.storage.history.index import IndexScope
from molbuffer.storage.maintenance.pins import archive_pins, snapshot_kept
from molbuffer.storage.records import Checkpoint, Commit, PolicyVersion, Reward, RowId, RunStatus, Score
from molbuffer.storage.trusted import trusted_archive

WEIGHTS = {"weights.safetensors": save({"w": np.zeros(3, np.float32)}), "config.json": b"{}"}


class Contract:
    """The promises; a subclass has the fixture ``new_address``, which makes the keyword arguments of ``create``."""

    @pytest.fixture
    def address(self, new_address):
        return new_address()

    @pytest.fixture(scope="class")
    @classmethod
    def shared(cls, new_address, make, tmp_path_factory):
        """A store with one build, for tests that change nothing of what others of the class look at."""
        with SampleStore.create(tmp_path_factory.mktemp("shared") / "store", **new_address()) as store:
            store.start_run(make.make_run())
            store.commit(Commit([make.make_build(0, policy_sha256=None)]))
            yield store

    @pytest.fixture
    def path(self, tmp_path, monkeypatch, address):
        """A store in which a run has started."""
        monkeypatch.setenv("MOLBUFFER_CACHE", str(tmp_path / "cache"))
        SampleStore.create(tmp_path / "store", **address).close()
        return tmp_path / "store"

    @pytest.fixture
    def opened(self, path, make):
        with SampleStore.open(path) as store:
            store.start_run(make.make_run())
            yield store

    def test_what_was_committed_reads_back(self, opened, path, make):
        builds = [
            make.make_build(0, samples=make.make_pairs(), latent_sha256="prior-1"),
            make.make_build(1, samples=make.make_pairs(seed=1)),
        ]
        builds.append(make.make_readmission(2, (RowId(builds[0].build_id, 3), RowId(builds[1].build_id, 0))))
        sha256 = opened.policies.add(WEIGHTS)
        state = Checkpoint("run-1", 2, {"state.json": b"{}", "tensors": b"123"}, opened.snapshot())
        policies = [PolicyVersion(sha256, "gru", run_id="run-1", weights_kept=True)]
        receipts = opened.commit(Commit(builds, policies=policies, checkpoint=state)).builds
        assert [(receipt.kept, receipt.readmitted) for receipt in receipts] == [(4, 0), (4, 0), (0, 2)]
        with SampleStore.open(path, read_only=True) as reader:
            assert reader.uuid == opened.uuid
            assert reader.receipts("run-1") == list(receipts)
            for build in builds:
                read = reader.build(build.build_id).build
                assert (read.latent_sha256, read.references) == (build.latent_sha256, build.references)
                stored = read.samples
                for found, given in ((stored, build.samples), (stored.rows, build.samples.rows)):
                    for name in {field.name for field in dataclasses.fields(given)} - {"rows"}:
                        np.testing.assert_array_equal(getattr(found, name), getattr(given, name), name)
            folder = reader.policies.folder(reader.policies.resolve(sha256[:8]))
            assert {name: (folder / name).read_bytes() for name in WEIGHTS} == WEIGHTS
            checkpoint = reader.latest_checkpoint("run-1").folder
            assert {name: (checkpoint / name).read_bytes() for name in state.files} == dict(state.files)
            with pytest.raises(StoreModeError):
                reader.commit(Commit([make.make_build(3)]))

    def test_a_build_counts_once(self, opened, path, make):
        build = make.make_build(0)
        first = opened.commit(Commit([build])).builds[0]
        with SampleStore.open(path) as other:
            again = other.commit(Commit([build])).builds[0]
        assert (first.repeated, again.repeated) == (False, True)
        assert opened.query("SELECT count(*) FROM sample_history").item() == 6

    def test_r3_of_processes_that_race_for_builds_each_build_has_one_winner(self, opened, path, writer):
        processes = [writer("race", path, 0, 6) for _ in range(2)]
        said = [line.split() for process in processes for line in process.communicate(timeout=600)[0].splitlines()]
        assert [process.returncode for process in processes] == [0, 0]
        assert len([word for word, _ in said if word == "committed"]) == 6
        assert opened.query("SELECT count(*), count(DISTINCT build_id) FROM samples").rows() == [(36, 6)]

    def test_threads_commit_at_once(self, opened, make):
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda i: opened.commit(Commit([make.make_build(i)])), range(8)))
        assert [receipt.iteration for receipt in opened.receipts("run-1")] == list(range(8))

    def test_r3_what_was_looked_up_at_one_version_is_not_inserted_at_another(self, opened, path, make):
        """Without any lock, as on a host that lost its connection to the lock's server."""
        build, attempts = make.make_build(0), []

        with SampleStore.open(path) as other:

            def insert(transaction):
                known = transaction.read("SELECT build_id FROM {builds}").num_rows
                attempts.append(known)
                if not known:
                    # The version is taken between the look and the COMMIT.
                    other.commit(Commit([build]))
                    row = transaction.read("SELECT 'b' AS build_id")
                    transaction.insert("builds", row)
                return known

            unlocked(opened)
            known, _ = opened._open.catalog.transact("test", "race", {}, insert)
        assert (known, attempts) == (1, [0, 1])
        assert opened.query("SELECT count(*) FROM builds").item() == 1

    def test_scores_and_claims(self, shared):
        shared.record_scores([Score("CC", "docking", "v1", -7.5), Score("CCC", "docking", "v1", None, "failed", "no")])
        with SampleStore.open(shared.path) as other:
            assert other.find_scores("docking", "v1", ["CC", "CCC", "N"])["CC"].value == -7.5
            assert shared.claims.claim("docking", "v1", ["C", "CC"], "first", 60) == {"C", "CC"}
            assert other.claims.claim("docking", "v1", ["C", "N"], "second", 60) == {"N"}
            shared.claims.release("docking", "v1", ["C"], "first")
            assert other.claims.claim("docking", "v1", ["C", "CC"], "second", 60) == {"C"}
            assert shared.claims.claim("docking", "v1", ["O"], "first", 0) == {"O"}
            assert other.claims.claim("docking", "v1", ["O"], "second", 60) == {"O"}

    def test_scores_that_are_handed_over_are_found_by_whoever_looks_them_up(self, shared):
        shared.hand_over_scores([Score("CCCC", "docking", "v1", -8.0)])
        with SampleStore.open(shared.path) as other:
            assert other.find_scores("docking", "v1", ["CCCC"])["CCCC"].value == -8.0

    def test_an_old_version_stays_as_it_was(self, opened, make, tmp_path):
        then = opened.commit(Commit([make.make_build(0)])).snapshot
        opened.commit(Commit([make.make_build(1), make.make_build(2)]))
        opened.add_rewards(make.make_build(0).build_id, [Reward(0, "other", 0.5)], "run-1")

        def seen():
            cache = DecodedCache(opened.cache_key, opened._open.layout.arrays, tmp_path / uuid4().hex)
            index = opened.at(then).index(IndexScope(objective_sha256=make.OBJECTIVE), cache=cache)
            rows = index.gather(index.best_first)
            history = opened.query("SELECT * FROM sample_history ORDER BY ALL", snapshot=then)
            return history.rows(), rows.tokens.tolist(), rows.log_probs.tolist()

        before = seen()
        report = opened.maintenance.compact()
        assert (report.segments_replaced, report.segments_written) == (2, 1)
        assert sum(report.merged_files.values()) > 0
        assert seen() == before
        assert {each.kind for each in opened.maintenance.vacuum(grace=timedelta(0)).removed} == {"parquet"}
        assert seen() == before
        pinned = opened.maintenance.expire(timedelta(0))
        assert then in pinned.expired
        removed = [each.kind for each in opened.maintenance.vacuum(grace=timedelta(0)).removed]
        assert removed == ["segment"] * 2
        assert opened.query("SELECT count(*), count(reward) FROM sample_history").rows() == [(18, 12)]
        for iteration in range(3):
            assert opened.build(make.make_build(iteration).build_id).samples.raw == make.make_samples().raw
        assert not opened.verify().errors

    def test_one_process_maintains(self, shared):
        held = shared._open.layout.backend.maintainers().held
        with SampleStore.open(shared.path) as other, held(), pytest.raises(MaintenanceBusyError):
            other.maintenance.compact()

    def test_verify_names_what_is_damaged(self, opened, make):
        opened.commit(Commit([make.make_build(0)]))
        opened.commit(Commit([make.make_build(1)], checkpoint=Checkpoint("run-1", 1, {"state.json": b"{}"}, 1)))
        assert not opened.verify().errors
        segment = opened.build(make.make_build(0).build_id).segment
        delete(opened._open.layout.arrays / segment)
        (found,) = opened.verify().errors
        assert (found.kind, found.segment) == ("segment", segment)
        opened.quarantine({segment: "lost"})
        delete(opened.latest_checkpoint("run-1").folder / "state.json")
        # Of the segment it says nothing more.
        assert {found.kind for found in opened.verify().errors} == {"checkpoint"}

    def test_verify_names_what_was_left_unfinished_beside_the_description(self, shared):
        left = shared.path / ".store.toml.0"
        left.write_text("format")
        (found,) = shared.verify().findings
        left.unlink()
        assert (found.severity, found.kind, found.path, found.bytes) == ("information", "orphan", ".store.toml.0", 6)
        assert found.age_seconds < 600

    def test_an_archive_goes_into_it_and_comes_out_of_it(self, opened, make, tmp_path):
        sha256 = opened.policies.add(WEIGHTS)
        opened.commit(
            Commit(
                [make.make_build(0, policy_sha256=sha256)], policies=[PolicyVersion(sha256, "gru", weights_kept=True)]
            )
        )
        opened.commit(Commit([make.make_build(1)], scores=[Score("CC", "docking", "v1", -7.5)]))
        receipt = opened.archive(tmp_path / "archive", where="kept")
        assert receipt.rows == 8
        opened.close()
        with trusted_archive(tmp_path / "archive") as (archive, _):
            assert archive.policies.kept() == [sha256]
            with SampleStore.create(tmp_path / "home") as home:
                assert home.merge(archive).rows == 8
            with SampleStore.open(tmp_path / "store") as store:
                assert store.merge(archive).rows == 0

    def test_a_version_is_kept_while_an_archive_is_made_of_it(self, opened, path, make):
        version = opened.commit(Commit([make.make_build(0)])).snapshot
        opened.commit(Commit([make.make_build(1)]))
        with SampleStore.open(path) as other:
            with snapshot_kept(opened._open.layout, version, str(uuid4())):
                assert version in other.maintenance.expire(timedelta(0)).pinned
                assert other.maintenance.vacuum(grace=timedelta(0)).removed == ()
            assert version not in other.maintenance.expire(timedelta(0), dry_run=True).pinned
            dead = f".archiving-{version}-{uuid4()}"
            with snapshot_kept(opened._open.layout, version, dead[-36:]):
                (pin,) = archive_pins(opened._open.layout)
            # As a process leaves it that is killed.
            pin.path.write_bytes(b"")
            assert other.maintenance.vacuum(grace=timedelta(hours=1)).removed == ()
            assert version in other.maintenance.expire(timedelta(0)).pinned
            removed = other.maintenance.vacuum(grace=timedelta(0)).removed
            assert ("pin", dead) in {(each.kind, each.path) for each in removed}
            assert version in other.maintenance.expire(timedelta(0)).expired

    def test_a_run_ends_and_a_query_reads_only(self, shared, make):
        shared.start_run(make.make_run("run-2"))
        shared.finish_run("run-2", RunStatus.FINISHED)
        events = shared.query("SELECT status FROM run_events WHERE run_id = 'run-2' ORDER BY created")
        assert events.rows() == [("started",), ("finished",)]

    @pytest.mark.parametrize(
        "sql", ["FROM duckdb_secrets()", "FROM duckdb_secrets(redact = false)", "FROM duckdb_settings()"]
    )
    def test_a_query_does_not_see_credentials(self, shared, sql):
        try:
            said = str(shared.query(sql).rows())
        except QueryError as refused:
            said = str(refused)
        assert said
        assert "never-shown" not in said

    def test_a_store_is_attached_by_another_program(self, shared):
        attach = shared.attach_sql()
        assert "password" not in attach.lower()
        assert "KEY_ID" not in attach
        # Installing needs the internet; the extensions are loaded from their wheels instead.
        attach = "\n".join(line for line in attach.splitlines() if not line.startswith(("INSTALL", "CREATE SECRET")))
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", SHELL, attach, str(shared.path)], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == ["6"]


SHELL = """
import sys, duckdb
from pathlib import Path
from molbuffer.storage.backends.engine import load, reach
from molbuffer.storage.description import Description
connection = duckdb.connect()
layout = Description.read(Path(sys.argv[2]) / "store.toml").layout(Path(sys.argv[2]))
for extension in ("ducklake", *layout.backend.extensions):
    load(connection, extension)
reach(connection, layout.tables)
connection.execute(sys.argv[1])
print(connection.execute("SELECT count(*) FROM sample_history").fetchone()[0])
"""


def unlocked(store):
    """Takes the lock of a store's writers away."""

    class Nobody:
        def held(self):
            return nullcontext()

    store._open.catalog._writers = Nobody()


@pytest.fixture(scope="class")
def new_schema(postgres_server):
    return lambda: {"catalog": f"{postgres_server}/postgres", "catalog_schema": f"lab_{uuid4().hex}"}


@pytest.fixture(scope="class")
def new_prefix(services, s3_server):
    """Makes prefixes of the S3 server's bucket, to which the environment leads."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (services.S3_ENVIRONMENT | {"AWS_ENDPOINT_URL": s3_server}).items():
            patch.setenv(name, value)
        yield lambda: {"data_path": f"s3://lab/{uuid4().hex}"}


class TestSqliteAndFolder(Contract):
    @pytest.fixture(scope="class")
    @classmethod
    def new_address(cls):
        return dict


class TestSqliteAndObjects(Contract):
    @pytest.fixture(scope="class")
    @classmethod
    def new_address(cls, new_prefix):
        return new_prefix


class TestPostgresAndFolder(Contract):
    @pytest.fixture(scope="class")
    @classmethod
    def new_address(cls, new_schema, tmp_path_factory):
        return lambda: new_schema() | {"data_path": str(tmp_path_factory.mktemp("data") / "shared")}

    def test_a_lock_is_free_before_the_server_sees_that_its_holder_has_gone(self, shared, monkeypatch):
        with ExitStack() as at_the_end:

            def closed_later(connection):
                return nullcontext(at_the_end.enter_context(closing(connection)))

            monkeypatch.setattr(postgres, "closing", closed_later)
            for _ in range(2):
                assert shared.maintenance.vacuum(grace=timedelta(0)).removed == ()


class TestPostgresAndObjects(Contract):
    @pytest.fixture(scope="class")
    @classmethod
    def new_address(cls, new_schema, new_prefix):
        return lambda: new_schema() | new_prefix()

    def test_two_hosts_share_one_store(self, opened, address, make, tmp_path):
        with SampleStore.create(tmp_path / "other host", **address) as other:
            assert other.uuid == opened.uuid
            build = make.make_build(0)
            opened.commit(Commit([build]))
            assert other.commit(Commit([build])).builds[0].repeated
            assert other.build(build.build_id).samples.raw == build.samples.raw
        assert sorted(path.name for path in (tmp_path / "other host").iterdir()) == ["store.toml", "waiting"]

    def test_a_store_elsewhere_is_another_store(self, opened, address, tmp_path):
        with pytest.raises(StorePlaceError, match="s3://lab/elsewhere"):
            SampleStore.create(tmp_path / "b", **(address | {"data_path": "s3://lab/elsewhere"}))
        with pytest.raises(StoreExistsError, match=address["data_path"]):
            SampleStore.create(tmp_path / "c", data_path=address["data_path"])


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ({"catalog": "postgres://me:secret@host/lake", "data_path": "/shared"}, "password"),
        ({"catalog": "mysql://host/lake", "data_path": "/shared"}, "postgres://"),
        ({"catalog": "postgres://host", "data_path": "/shared"}, "postgres://"),
        ({"catalog": "postgres://host/lake"}, "s3://bucket/prefix"),
        ({"catalog": "postgres://host/lake", "catalog_schema": 'x"; DROP', "data_path": "/s"}, "schema"),
        ({"data_path": "gs://bucket/prefix"}, "s3://"),
        ({"data_path": "s3://bucket/../other"}, "s3://"),
        ({"data_path": "s3://bucket/a'b"}, "s3://"),
    ],
)
def test_addresses_that_are_none_are_refused(tmp_path, address, message):
    with pytest.raises(StorePlaceError, match=message) as refused:
        SampleStore.create(tmp_path / "store", **address)
    assert "secret" not in str(refused.value)
    assert not (tmp_path / "store" / "store.toml").exists()


def test_a_server_that_is_not_there_is_said_so(tmp_path, services):
    nobody = f"postgres://127.0.0.1:{services.free_port()}/lake"
    with pytest.raises(CatalogUnavailableError):
        SampleStore.create(tmp_path / "store", catalog=nobody, data_path=str(tmp_path / "shared"))


def test_credentials_that_are_missing_are_named(tmp_path, monkeypatch, s3_environment):
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(StorePlaceError):
        SampleStore.create(tmp_path / "store", data_path=s3_environment)


def test_an_archive_names_no_place_but_its_folder(started, make, tmp_path):
    started.commit(Commit([make.make_build(0)]))
    started.archive(tmp_path / "archive")
    manifest = tmp_path / "archive" / "archive.json"
    manifest.chmod(0o600)
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"data_path": "s3://lab/other"}))
    with pytest.raises(ArchiveError, match="data_path"):
        SampleStore.open(tmp_path / "archive")


def test_both_ends_of_a_connection_notice_that_the_other_one_is_gone():
    plain = postgres.watched("postgres://chem@db/lab")
    assert plain.startswith("postgres://chem@db/lab?connect_timeout=10&keepalives_idle=10&")
    assert "options=-c%20tcp_keepalives_idle%3D10%20" in plain
    own = postgres.watched("postgres:///lab?host=/var/run&connect_timeout=3&options=-c%20search_path%3Dmine")
    assert own.startswith("postgres:///lab?connect_timeout=3&") and own.endswith("%20-c%20search_path%3Dmine")
    assert own.count("connect_timeout") == own.count("options=") == 1


def test_an_error_has_no_settings_of_the_connection():
    said = (
        f'IO Error: Unable to connect to Postgres at "{postgres.watched("postgres://chem@db/lab?sslmode=require")}": no'
    )
    advice = 'Table with name settings does not exist! Did you mean "pg_settings"?'
    assert one_line(advice) == "Table with name settings does not exist!"
    assert one_line(said) == 'IO Error: Unable to connect to Postgres at "postgres://chem@db/lab": no'
