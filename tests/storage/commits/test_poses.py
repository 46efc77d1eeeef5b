"""The poses of docked molecules, as the store keeps them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from molbuffer.storage import Commit, SampleStore, Score, ScoreStatus
from molbuffer.storage.recovery.recover import Source, recover_store
from molbuffer.storage.trusted import trusted_archive
from molbuffer.storage.verify.verify import verify_store

FOUND = Score("CCO", "vina", "v1", -3.5, pose="a pose of CCO\n")
FAILED = Score("CB", "vina", "v1", None, ScoreStatus.FAILED, "it has atoms of B")
POSES = "SELECT smiles, component, version, value, pose FROM scored_poses ORDER BY ALL"
ROWS = [("CCO", "vina", "v1", -3.5, "a pose of CCO\n")]


def test_a_pose_is_committed_with_its_score_and_once(started):
    assert started.record_scores([FOUND, FAILED], run_id="run-1") == 2
    started.record_scores([FOUND, replace(FOUND, pose="another")], run_id="run-1")
    assert started.query(POSES).rows() == ROWS
    assert started.find_scores("vina", "v1", ["CCO"])["CCO"] == replace(FOUND, pose=None)


def test_another_version_has_a_pose_of_its_own(started):
    started.record_scores([FOUND, replace(FOUND, version="v2", value=-4.0, pose="another")])
    assert started.query(POSES).rows() == [*ROWS, ("CCO", "vina", "v2", -4.0, "another")]


def test_scores_of_a_build_bring_their_poses(started, make):
    started.commit(Commit([replace(make.make_build(0), scores=[FOUND])]))
    started.commit(Commit([replace(make.make_build(1), scores=[FOUND])]))
    assert started.query(POSES).rows() == ROWS
    assert started.query("SELECT run_id FROM poses").rows() == [("run-1",)]


@pytest.fixture
def posed(started, make):
    """A store with a build whose first molecule was docked."""
    build = make.make_build(0)
    smiles = next(each for each in build.samples.smiles if each is not None)
    started.commit(Commit([build], scores=[replace(FOUND, smiles=smiles)]))
    return started


def test_archives_and_merges_carry_them(posed, tmp_path):
    expected = posed.query(POSES).rows()
    posed.archive(tmp_path / "a.tar", runs=["run-1"])
    with trusted_archive(tmp_path / "a.tar") as (archive, _), SampleStore.create(tmp_path / "home") as home:
        assert archive.query(POSES).rows() == expected
        home.merge(archive)
        home.merge(archive)
        assert home.query(POSES).rows() == expected
    for place in (tmp_path / "home", tmp_path / "a.tar"):
        assert [each for each in verify_store(place).findings if each.severity == "error"] == []


def test_they_are_recovered_without_the_catalog(posed):
    expected = posed.query(POSES).rows()
    posed.close()
    recover_store(posed.path, source=Source.FILES, anyway=True)
    with SampleStore.open(posed.path) as store:
        assert store.query(POSES).rows() == expected


def test_compaction_keeps_them_and_a_lost_file_is_found(posed):
    posed.record_scores([replace(FOUND, smiles="CCCO")])
    expected = posed.query(POSES).rows()
    posed.maintenance.compact()
    assert posed.query(POSES).rows() == expected
    posed.close()
    for file in (posed.path / "tables/main/poses").glob("*.parquet"):
        file.unlink()
    errors = [each.message for each in verify_store(posed.path).findings if each.severity == "error"]
    assert any("a file of the table poses" in message and "missing" in message for message in errors)
