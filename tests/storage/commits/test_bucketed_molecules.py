"""The molecules that a diversity memory counts, as the store keeps them."""

from __future__ import annotations

import pytest

from molbuffer.storage import BucketedMolecule, Commit, SampleStore
from molbuffer.storage.recovery.recover import Source, recover_store
from molbuffer.storage.trusted import trusted_archive
from molbuffer.storage.verify.verify import verify_store

FOUND = [BucketedMolecule(0, "Cc1ccccc1", "c1ccccc1"), BucketedMolecule(0, "CCO", ""), BucketedMolecule(2, "CCCO", "")]


@pytest.fixture
def counted(started, make):
    """A store with a build, and molecules that a run has counted in two commits."""
    started.commit(Commit([make.make_build(0)], run_id="run-1", bucketed=FOUND[:2]))
    started.commit(Commit(run_id="run-1", bucketed=FOUND[2:]))
    return started


def test_they_come_back_in_their_order_and_count_once(counted):
    counted.commit(Commit(run_id="run-1", bucketed=FOUND))
    assert counted.bucketed_molecules("run-1") == FOUND
    assert counted.bucketed_molecules("another") == []
    assert counted.query("SELECT bucket, molecules, first_iteration, last_iteration FROM buckets").rows() == [
        ("", 2, 0, 2),
        ("c1ccccc1", 1, 0, 0),
    ]


def test_they_need_a_run(started):
    with pytest.raises(ValueError, match="run_id"):
        started.commit(Commit(bucketed=FOUND))


def test_archives_of_whole_runs_and_merges_carry_them(counted, tmp_path):
    counted.archive(tmp_path / "a.tar", runs=["run-1"])
    with trusted_archive(tmp_path / "a.tar") as (archive, _), SampleStore.create(tmp_path / "home") as home:
        home.merge(archive)
        home.merge(archive)
        assert home.bucketed_molecules("run-1") == FOUND
    assert [each for each in verify_store(tmp_path / "home").findings if each.severity == "error"] == []


@pytest.mark.parametrize("source", [Source.JOURNAL, Source.FILES])
def test_they_are_recovered_without_the_catalog(counted, source):
    counted.close()
    recover_store(counted.path, source=source, anyway=True)
    with SampleStore.open(counted.path) as store:
        assert store.bucketed_molecules("run-1") == FOUND
