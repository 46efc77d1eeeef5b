"""While a run goes on, its old checkpoints and policies go, and whatever something refers to stays."""

import os
import time

import pytest

from molbuffer.storage import SampleStore
from molbuffer.storage.errors import UnknownPolicyError
from molbuffer.storage.maintenance.prune import KeptOfRun
from molbuffer.storage.records import Checkpoint, Commit, PolicyVersion, Reward

KEEP = KeptOfRun(checkpoints=2, policies=2, kind="gru")
OBJECTIVE = "objective-1"


@pytest.fixture
def published(started, make):
    """Publishes the policy of an iteration with its checkpoint, and the rows that it draws then; returns its sha256."""
    versions = {}

    def publish(iteration, reward=0.5, run_id="run-1", kind="gru", objective=OBJECTIVE):
        sha256 = started.policies.add({"weights": f"{run_id}-{kind}-{iteration}".encode()})
        parent = versions.get((run_id, kind))
        version = PolicyVersion(sha256, kind, parent, run_id, iteration, weights_kept=True)
        checkpoint = Checkpoint(run_id, iteration, {"state": b"%d" % iteration}, None)
        rewards = [Reward(row, objective, reward) for row in (0, 3, 4, 5)]
        build = make.make_build(
            iteration, seed=iteration, run_id=run_id, rewards=rewards, objective_sha256=objective, policy_sha256=sha256
        )
        started.commit(Commit([build], policies=[version], checkpoint=checkpoint))
        versions[run_id, kind] = sha256
        return sha256

    return publish


def kept(store):
    return set(store.policies.kept())


def test_the_newest_and_the_best_stay_and_lineage_names_the_nearest_kept(started, published):
    rewards = [0.1, 0.2, 0.9, 0.3, 0.4, 0.5]
    versions = [published(iteration, reward) for iteration, reward in enumerate(rewards)]
    pruned = started.maintenance.prune_run("run-1", KEEP)
    assert set(pruned.policies) == {versions[0], versions[1], versions[3]}
    assert kept(started) == {versions[2], versions[4], versions[5]}
    assert len(pruned.checkpoints) == 4
    listed = started.checkpoints("run-1")
    assert [(each.iteration, each.kept) for each in listed] == [(i, i > 3) for i in range(5, -1, -1)]
    assert started.checkpoints() == listed
    assert started.verify().checked["checkpoints"] == 2
    assert started.latest_checkpoint("run-1").iteration == 5
    lineage = {row["sha256"]: row for row in started.query("FROM lineage").to_dicts()}
    assert [lineage[sha256]["weights_kept"] for sha256 in versions] == [False, False, True, False, True, True]
    assert [lineage[sha256]["kept_ancestor"] for sha256 in versions] == [
        None, None, versions[2], versions[2], versions[4], versions[5],
    ]  # fmt: skip
    assert [row["iteration"] for row in map(lineage.get, versions)] == list(range(6))
    assert started.verify().findings == ()
    with pytest.raises(UnknownPolicyError):
        started.policies.folder(versions[0])
    # Nothing is left to do, and nothing is written for that.
    snapshot = started.snapshot()
    assert started.maintenance.prune_run("run-1", KEEP) == type(pruned)((), ())
    assert started.snapshot() == snapshot


def test_the_best_is_that_of_the_objective_of_the_newest_rows(started, published):
    stages = [("other", 0.9), ("other", 0.8), (OBJECTIVE, 0.4), (OBJECTIVE, 0.1), (OBJECTIVE, 0.2), (OBJECTIVE, 0.3)]
    versions = [published(at, reward, objective=objective) for at, (objective, reward) in enumerate(stages)]
    started.maintenance.prune_run("run-1", KEEP)
    assert kept(started) == {versions[2], versions[4], versions[5]}


def test_a_policy_that_is_published_again_is_kept_again(started, published):
    versions = [published(iteration) for iteration in range(4)]
    started.maintenance.prune_run("run-1", KEEP)
    assert versions[1] not in kept(started)
    assert started.policies.add({"weights": b"run-1-gru-1"}) == versions[1]
    started.commit(Commit(policies=[PolicyVersion(versions[1], "gru", run_id="run-1", iteration=9, weights_kept=True)]))
    rows = started.query(f"SELECT weights_kept FROM lineage WHERE sha256 = '{versions[1]}'")
    assert rows["weights_kept"].to_list() == [True]
    assert started.verify().findings == ()


def test_versions_of_other_kinds_and_of_other_runs_stay(started, published, make):
    started.start_run(make.make_run("run-2"))
    latents = [published(iteration, kind="normal") for iteration in range(4)]
    others = [published(iteration, run_id="run-2") for iteration in range(4)]
    started.maintenance.prune_run("run-1", KEEP)
    assert kept(started) >= {*latents, *others}


def test_what_something_refers_to_stays(started, published, make):
    best, parent, drawn, named, changed, touched, gone, *newest = (
        published(iteration, reward=0.9 - iteration / 10) for iteration in range(9)
    )
    started.start_run(make.make_run("run-2", config=f'{{"policy":{{"agent":"{named[:9]}"}}}}'))
    started.commit(Commit(policies=[PolicyVersion("child", "gru", parent, "run-2", 1)]))
    started.commit(Commit([make.make_build(0, run_id="run-2", policy_sha256=drawn)]))
    samplers = make.make_run(config=f'{{"samplers":[{{"policy":"{changed}"}}]}}')
    started.start_run(samplers, accept=lambda before, after: True)
    later = time.time() + 120
    os.utime(started.path / "policies" / touched, (later, later))
    assert started.maintenance.prune_run("run-1", KEEP).policies == (gone,)
    assert kept(started) == {best, parent, drawn, named, changed, touched, *newest}


def test_what_an_archive_has_or_copies_at_this_moment_stays(started, published, tmp_path):
    versions = [published(iteration) for iteration in range(4)]
    pin = started.path / ".archiving-3-01234567-89ab-cdef-0123-456789abcdef"
    pin.touch()
    assert started.maintenance.prune_run("run-1", KEEP).policies == ()
    pin.unlink()
    started.archive(tmp_path / "archive", runs=["run-1"])
    assert started.maintenance.prune_run("run-1", KEEP).policies == ()
    assert kept(started) == set(versions)


def test_adding_a_policy_again_says_that_it_is_about_to_be_used(started):
    sha256 = started.policies.add({"weights": b"same"})
    folder = started.path / "policies" / sha256
    os.utime(folder, (1, 1))
    before = time.time()
    started.policies.add({"weights": b"same"})
    # Clocks of file systems are coarser.
    assert folder.stat().st_mtime > before - 60


def test_an_archive_of_an_older_snapshot_has_the_nearest_weights_that_are_left(started, published, tmp_path):
    versions = [published(iteration, reward=0.9 - iteration / 10) for iteration in range(6)]
    then = started.snapshot()
    started.maintenance.prune_run("run-1", KEEP)
    started.archive(tmp_path / "archive", snapshot=then)
    with SampleStore.open(tmp_path / "archive") as archive:
        assert set(archive.policies.kept()) == {versions[0], *versions[4:]}
        rows = archive.query("SELECT sha256, weights_kept FROM policies").rows()
    assert {sha256 for sha256, there in rows if there} == {versions[0], *versions[4:]}
    assert {sha256 for sha256, _ in rows} == set(versions)


def test_a_merge_brings_back_weights_that_were_removed(started, published, tmp_path):
    versions = [published(iteration) for iteration in range(5)]
    started.archive(tmp_path / "archive")
    with SampleStore.create(tmp_path / "other") as other, SampleStore.open(tmp_path / "archive") as archive:
        other.merge(archive)
        other.maintenance.prune_run("run-1", KEEP)
        assert versions[1] not in kept(other)
        other.merge(archive)
        assert versions[1] in kept(other)
        rows = other.query(f"SELECT weights_kept FROM lineage WHERE sha256 = '{versions[1]}'")
        assert rows["weights_kept"].to_list() == [True]
        assert other.verify().findings == ()
