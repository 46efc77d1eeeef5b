"""Purges and bonuses of the diversity memory in runs from Python, resumed or not, and conditions of mixtures."""

from typing import Any

import numpy as np
import pytest

import molbuffer as mb
from molbuffer.training import FitProgress, UnsuitableDataError


class Stopped(Exception):
    pass


PURGE = mb.DiversitySettings(buckets="molecule", size=2, min_reward=0.0, purge=True, penalty="linear")
BONUS = mb.DiversitySettings(buckets="molecule", size=20, min_reward=0.3, bonus="rnd", bonus_weight=0.2)
SURPRISE = mb.DiversitySettings(size=20, min_reward=0.3, penalty="none", bonus="surprise")


def train(run: mb.LabRun, diversity: mb.DiversitySettings, stop_at: int | None = None) -> Any:
    def progress(done: FitProgress) -> None:
        if done.iteration == stop_at:
            raise Stopped

    return run.train(
        batch_size=8,
        iterations=6,
        samplers=[mb.ModelSampler("agent", run.agent, size=mb.SamplerSize(p_batch=1.0))],
        replay=mb.Replay(updates=3),
        own_only=True,
        learner=mb.LearnerSettings(learning_rate=0.01),
        checkpoint_every=2,
        diversity=diversity,
        progress=progress,
    )


@pytest.mark.parametrize("diversity", [PURGE, BONUS, SURPRISE], ids=["purge", "rnd", "surprise"])
def test_a_resumed_run_has_the_rewards_of_one_that_was_never_stopped(
    lab: mb.Lab, policy: mb.Policy, qed: mb.Objective, diversity: mb.DiversitySettings
) -> None:
    given: dict[str, Any] = {"objective": qed, "policy": policy, "seed": 2}
    with lab.run("whole", **given) as run:
        whole = train(run, diversity)
    with pytest.raises(Stopped), lab.run("whole", **given) as stopped:
        train(stopped, diversity, stop_at=5)
    with lab.run("whole", **given, resume=stopped.run_id) as again:
        assert train(again, diversity).policy_sha256 == whole.policy_sha256
    sql = "SELECT name, value FROM metrics WHERE run_id = ? AND name LIKE 'bonus%' ORDER BY iteration, name"
    found = lab.query(sql, [run.run_id])
    assert found.rows() == lab.query(sql, [stopped.run_id]).rows()
    if diversity.bonus == "none":
        assert found.is_empty()
    else:
        bonuses = found.filter(found["name"] == "bonus")["value"].to_list()
        assert len(bonuses) == 6 and all(0 < value < 0.2 for value in bonuses)


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
