"""R19: stored rows that a build gives once more are referred to, never stored again, and counted once."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from molbuffer.storage import SampleStore
from molbuffer.storage.history.index import IndexScope
from molbuffer.storage.query.export import EXPORT_COLUMNS
from molbuffer.storage.records import Commit, Event, RowId
from molbuffer.storage.trusted import trusted_archive
from molbuffer.storage.verify.verify import verify_store

OBJECTIVE = "objective-1"


def commit(store, *builds):
    return store.commit(Commit(builds)).builds


def load(store, **options):
    return store.index(IndexScope(objective_sha256=OBJECTIVE, **{"run_id": "run-1"} | options))


@pytest.fixture
def two_runs(started, make):
    """A build of run-1, the run that trains, and one of another run; with the first four trainable rows of each."""
    started.start_run(make.make_run("run-2"))
    own, foreign = make.make_build(0), make.make_build(0, seed=1, run_id="run-2")
    commit(started, own, foreign)
    return started, own, foreign


def test_a_build_reads_back_with_what_it_refers_to(two_runs, make):
    store, own, foreign = two_runs
    rows = (RowId(foreign.build_id, 4), RowId(own.build_id, 0), RowId(foreign.build_id, 3))
    build = make.make_readmission(1, rows)
    (receipt,) = commit(store, build)
    assert (receipt.drawn, receipt.kept, receipt.readmitted, receipt.mean_reward) == (0, 0, 3, None)
    assert commit(store, build)[0].repeated
    assert store.read_arrow("SELECT count(*) AS n FROM {readmitted}")["n"].to_pylist() == [3]
    stored = store.build(build.build_id).build
    assert (stored.references, len(stored.samples), stored.rewards) == (rows, 0, [])
    assert store.query("SELECT count(*) FROM samples").item() == 12
    # Any user can ask which rows were given again.
    asked = store.query("SELECT source_row FROM readmitted JOIN builds USING (build_id) ORDER BY position")
    assert asked["source_row"].to_list() == [4, 0, 3]


def test_a_build_gives_a_row_once_only(two_runs, make):
    store, own, _ = two_runs
    with pytest.raises(ValueError, match="stored row twice"):
        commit(store, make.make_readmission(1, [RowId(own.build_id, 0)] * 2))


def test_rows_that_are_given_again_are_in_an_index_once(two_runs, make):
    """Also in a store of an earlier release, in which builds of the buffer gave rows again."""
    store, own, foreign = two_runs
    before = load(store, own_only=True)
    rows = [RowId(foreign.build_id, 3), RowId(own.build_id, 5)]
    commit(store, make.make_readmission(1, rows), make.make_readmission(2, rows, event=Event.SAMPLE_BATCH))
    index = load(store, own_only=True)
    assert index.row_ids(np.arange(len(index))) == before.row_ids(np.arange(len(before)))
    assert len(load(store)) == 2 * len(index) and load(store, own_only=True).own.all()


def test_only_some_runs_are_read(two_runs):
    store, own, foreign = two_runs
    assert load(store, runs=["run-2"]).build_ids == (foreign.build_id,)
    assert load(store, runs=["run-1"]).build_ids == (own.build_id,)
    assert len(load(store, runs=[])) == 0
    assert load(store, run_id=None, runs=["run-2"]).build_ids == (foreign.build_id,)


def test_everything_a_row_can_have_is_gathered_wherever_it_lies(started, make, tmp_path):
    pairs = make.make_build(0, samples=make.make_pairs(), sampler="pairs", latent_sha256="prior-1")
    plain = make.make_build(0, seed=1)
    commit(started, plain, pairs)
    assert_gathered(load(started), pairs, plain)
    stored = started.build(pairs.build_id).build
    assert stored.latent_sha256 == "prior-1"
    assert started.build(plain.build_id).samples.rows.source_tokens is None
    commit(started, make.make_build(1, samples=make.make_pairs(seed=2)))
    started.maintenance.compact()
    started.maintenance.vacuum(grace=timedelta(0))
    assert_gathered(load(started), pairs, plain)
    assert (
        started.query("SELECT DISTINCT latent_sha256 FROM sample_history WHERE sampler = 'pairs'").item() == "prior-1"
    )
    started.archive(tmp_path / "archive", where='"row" <> 3')
    with SampleStore.create(tmp_path / "other") as other, trusted_archive(tmp_path / "archive") as (archive, _):
        other.merge(archive)
        assert_gathered(load(other), pairs, plain, rows=[0, 4, 5])
        assert verify_store(other.path).errors == ()


def assert_gathered(index, pairs, plain, rows=(0, 3, 4, 5)):
    """Trainable rows of the builds have their own columns, and those without have nothing."""
    samples = pairs.samples
    found = index.gather(index.positions_of(pairs.build_id, list(rows)))
    for name in ("latents", "latent_log_probs", "source_lengths"):
        np.testing.assert_array_equal(getattr(found, name), getattr(samples.rows, name)[list(rows)], name)
    for place, row in enumerate(rows):
        length = samples.rows.source_lengths[row]
        assert found.source_tokens[place, :length].tolist() == samples.rows.source_tokens[row, :length].tolist()
        assert not found.source_tokens[place, length:].any()
    others = index.gather(index.positions_of(plain.build_id, list(rows)))
    assert np.isnan(others.latents).all() and np.isnan(others.latent_log_probs).all()
    assert others.source_lengths.tolist() == [0] * len(rows)


def test_an_index_of_plain_rows_has_no_room_for_more(started, make):
    commit(started, make.make_build(0))
    index = load(started)
    rows = index.gather(np.arange(4))
    assert (rows.latents, rows.latent_log_probs, rows.source_tokens, rows.source_lengths) == (None,) * 4
    # 16 log-probs of four bytes, a length, and 16 tokens of one.
    assert index.arrays.cached.layout.record_bytes == 16 * 4 + 4 + 16 + 4
    assert not index.sources


def test_archives_and_merges_carry_readmissions(two_runs, make, tmp_path):
    store, own, foreign = two_runs
    commit(store, make.make_readmission(1, [RowId(own.build_id, 3), RowId(foreign.build_id, 5)]))
    store.archive(tmp_path / "archive")
    store.archive(tmp_path / "own", runs=["run-1"])
    with SampleStore.create(tmp_path / "other") as other:
        for name in ("own", "archive", "archive"):
            with trusted_archive(tmp_path / name) as (archive, _):
                other.merge(archive)
            assert other.query("FROM readmitted").height == 2
            assert verify_store(other.path).errors == ()
        assert other.build(make.make_readmission(1, []).build_id).build.references[0] == RowId(own.build_id, 3)
    # The rows of another run are not in an archive of this one, and nothing but their delivery depends on them.
    warned = [finding.message for finding in verify_store(tmp_path / "own").findings if finding.table == "readmitted"]
    assert verify_store(tmp_path / "own").errors == ()
    assert any("name a source_build_id that builds does not have" in message for message in warned)


def test_verify_counts_readmissions_and_looks_for_their_rows(two_runs, make):
    store, own, _ = two_runs
    build = make.make_readmission(1, [RowId(own.build_id, 3), RowId(own.build_id, 99)])
    commit(store, build)
    report = verify_store(store.path)
    assert report.errors == ()
    (absent,) = [finding for finding in report.findings if finding.table == "readmitted"]
    assert "1 rows were readmitted to a buffer and do not exist" in absent.message
    store._open.catalog.transact(
        "test", "damage", {}, lambda transaction: transaction.change("DELETE FROM {readmitted}")
    )
    (error,) = verify_store(store.path).errors
    assert f"{build.build_id} states 2 and has 0" in error.message


def test_an_export_has_the_version_of_latents():
    assert list(EXPORT_COLUMNS).index("latent_sha256") == list(EXPORT_COLUMNS).index("policy_sha256") + 1


def test_sources_of_impossible_lengths_are_found(started, make):
    lengths = np.array([0, 99, 1, 0, 1, 1], np.int32)
    commit(started, make.make_build(0, samples=make.make_pairs(source_lengths=lengths)))
    (error,) = started.verify().errors
    assert "the source of row 1" in error.message
    assert "is 99 of 5 tokens long" in error.message


def test_a_build_without_samples_lies_where_the_next_one_does(two_runs, make):
    store, own, _ = two_runs
    builds = []
    for iteration in range(1, 9):
        builds.append(make.make_readmission(iteration, [RowId(own.build_id, 0)]))
        builds.append(make.make_build(iteration, seed=iteration, sampler_order=1))
    # Whatever the order of their ids.
    assert {before.build_id < after.build_id for before, after in zip(builds[::2], builds[1::2], strict=True)} == {
        True,
        False,
    }
    commit(store, *builds)
    assert store.verify().errors == ()
    assert [store.build(build.build_id).samples.raw for build in builds] == [build.samples.raw for build in builds]


def test_latents_of_builds_in_one_commit_keep_their_own_width(started, make):
    builds = [make.make_build(0, samples=make.make_pairs(seed=seed)) for seed in (1, 2)]
    wide, narrow = builds[0], replace(builds[1], iteration=1)
    two = replace(narrow.samples.rows, latents=narrow.samples.rows.latents[:, :2].copy())
    narrow = replace(narrow, samples=replace(narrow.samples, rows=two))
    assert wide.samples.rows.latents.shape[1] > 2
    commit(started, wide, narrow)
    for build in (wide, narrow):
        np.testing.assert_array_equal(started.build(build.build_id).samples.rows.latents, build.samples.rows.latents)
