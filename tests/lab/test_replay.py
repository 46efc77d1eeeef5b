"""Several updates of a run from Python, resumed after an interruption."""

from dataclasses import replace
from typing import Any

import pytest

import molbuffer as mb
from molbuffer.storage import RunConflictError
from molbuffer.training import FitProgress

REPLAY = mb.Replay(updates=3, update_size=6, randomise=True)
BOTH = mb.Mixture([mb.MixturePart(2.0, mb.RankWindow()), mb.MixturePart(where="reward < 0.4")])


def trained(
    lab: mb.Lab, qed: mb.Objective, policy: mb.Policy, stop: int | None = None, replay: mb.Replay = REPLAY
) -> Any:
    def progress(done: FitProgress) -> None:
        assert done.metrics["updates"] == 3
        if done.iteration == stop:
            raise KeyboardInterrupt

    with lab.run("replay", objective=qed, policy=policy, seed=3, resume=resumed(lab)) as run:
        run.build(mb.ModelSampler("agent", run.agent, unique="run"), n=8)
        return run.train(
            batch_size=8,
            iterations=4,
            samplers={"agent": 0.75},
            selection=BOTH,
            replay=replay,
            learner=mb.LearnerSettings(learning_rate=5e-3),
            checkpoint_every=2,
            progress=progress,
        )


def resumed(lab: mb.Lab) -> str | None:
    runs = lab.runs()["run_id"].to_list()
    return runs[0] if runs else None


def test_replay_of_a_run_is_that_of_one_that_was_interrupted(
    lab: mb.Lab, policy: mb.Policy, qed: mb.Objective, tmp_path: object
) -> None:
    whole = trained(lab, qed, policy)
    twice = lab.query(
        "SELECT count(*) - count(DISTINCT smiles) FROM sample_history WHERE kept AND sampler = 'agent'"
    ).item()
    assert twice == 0, 'unique = "run"'
    with mb.open(f"{tmp_path}/other") as other:
        with pytest.raises(KeyboardInterrupt):
            trained(other, qed, policy, stop=3)
        with pytest.raises(RunConflictError, match=r"replay.updates: it was 3, got 2"):
            trained(other, qed, policy, replay=replace(REPLAY, updates=2))
        assert trained(other, qed, policy).policy_sha256 == whole.policy_sha256
