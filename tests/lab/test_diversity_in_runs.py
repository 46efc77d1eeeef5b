"""Purges and bonuses of the diversity memory in runs from Python, and conditions of mixtures."""

from typing import Any

import numpy as np
import pytest

import molbuffer as mb
from molbuffer.training import UnsuitableDataError

PLAIN = mb.DiversitySettings(buckets="molecule", size=20, min_reward=0.3)
BONUS = mb.DiversitySettings(buckets="molecule", size=20, min_reward=0.3, bonus="rnd", bonus_weight=0.2)


def train(run: mb.LabRun, diversity: mb.DiversitySettings) -> Any:
    return run.train(
        batch_size=8,
        iterations=3,
        samplers=[mb.ModelSampler("agent", run.agent, size=mb.SamplerSize(p_batch=1.0))],
        replay=mb.Replay(updates=3),
        own_only=True,
        learner=mb.LearnerSettings(learning_rate=0.01),
        diversity=diversity,
    )


def test_the_bonus_of_a_run_is_a_metric_and_leaves_the_stored_reward(
    lab: mb.Lab, policy: mb.Policy, qed: mb.Objective
) -> None:
    with lab.run("plain", objective=qed, policy=policy, seed=2) as plain:
        without = train(plain, PLAIN)
    with lab.run("bonus", objective=qed, policy=policy, seed=2) as run:
        found = train(run, BONUS)
    assert found.policy_sha256 != without.policy_sha256
    sql = "SELECT value FROM metrics WHERE run_id = ? AND name = ? ORDER BY iteration"
    bonuses = lab.query(sql, [run.run_id, "bonus"])["value"].to_list()
    assert len(bonuses) == 3 and all(0 < value < 0.2 for value in bonuses)
    assert lab.query(sql, [plain.run_id, "bonus"]).is_empty()
    # The first batch is drawn before anything is learned.
    rewards = 'SELECT reward FROM sample_history WHERE run_id = ? AND iteration = 0 ORDER BY "row"'
    assert lab.query(rewards, [run.run_id]).rows() == lab.query(rewards, [plain.run_id]).rows()


def test_rows_of_overfull_buckets_are_not_replayed(
    lab: mb.Lab, policy: mb.Policy, qed: mb.Objective, monkeypatch: pytest.MonkeyPatch
) -> None:
    replayed: list[np.ndarray] = []
    from molbuffer.training.batches.loader import MixedLoader

    later = MixedLoader._later_updates

    def watched(self: Any, *given: Any) -> Any:
        batches, taken = later(self, *given)
        for rows in taken:
            counts = [self.diversity.counts[text] for text in rows.smiles()]
            replayed.append(np.array(counts))
        return batches, taken

    monkeypatch.setattr(MixedLoader, "_later_updates", watched)
    most = {}
    for purge in (True, False):
        replayed.clear()
        settings = mb.DiversitySettings(buckets="molecule", size=2, min_reward=0.0, purge=purge)
        with lab.run("purged", objective=qed, policy=policy, seed=2) as run:
            train(run, settings)
        most[purge] = max(int(counts.max(initial=0)) for counts in replayed)
    assert most[True] <= 2 < most[False]


def test_a_condition_that_never_sees_a_row_of_the_run_is_refused(
    lab: mb.Lab, policy: mb.Policy, qed: mb.Objective
) -> None:
    def blind(runs: str) -> mb.Mixture:
        return mb.Mixture([mb.MixturePart(where="reward > 0.1", runs=runs), mb.MixturePart()])  # type: ignore[arg-type]

    with lab.run("blind", objective=qed, policy=policy, seed=2) as run:
        live = mb.ModelSampler("live", run.agent, size=mb.SamplerSize(p_batch=1.0))
        given: dict[str, Any] = {"batch_size": 4, "replay": mb.Replay(updates=2)}
        with pytest.raises(UnsuitableDataError, match="part 0 of the mixture takes rows where"):
            run.train(iterations=1, samplers=[live], selection=blind("own"), **given)
        assert run.train(iterations=1, samplers=[live], selection=blind("all"), **given).iterations == 1
    with lab.run("seeing", objective=qed, policy=policy, seed=2) as run:
        run.build(mb.ModelSampler("built", run.agent), n=8)
        live = mb.ModelSampler("live", run.agent, size=mb.SamplerSize(p_batch=1.0))
        assert run.train(iterations=1, samplers=[live], selection=blind("own"), **given).iterations == 1
