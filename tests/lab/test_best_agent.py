"""The best agent of a run draws as a sampler, and reminds the agent of what it knew."""

from typing import Any

import pytest

import molbuffer as mb
from molbuffer.training import FitProgress, UnsuitableDataError
from molbuffer.training.losses import BestAgentReminder


def training(run: mb.LabRun, iterations: int, progress: Any = lambda _: None, **more: Any) -> Any:
    live = mb.ModelSampler("live", run.agent, size=mb.SamplerSize(p_batch=0.5))
    reminder = mb.ModelSampler("reminder", run.best, size=mb.SamplerSize(p_batch=0.5))
    given = {"batch_size": 16, "samplers": [live, reminder], "loss": "best_agent_reminder", "checkpoint_every": 2}
    learner = mb.LearnerSettings(learning_rate=0.05)
    return run.train(iterations=iterations, progress=progress, learner=learner, **{**given, **more})


def rows_of(lab: mb.Lab, run_id: str) -> list[Any]:
    sql = """SELECT iteration, sampler, policy_sha256, raw, reward FROM sample_history WHERE run_id = ?
        ORDER BY iteration, sampler, row"""
    return lab.query(sql, [run_id]).rows()


class Stopped(Exception):
    pass


def test_its_rows_are_those_of_the_policy_with_the_best_draws_resumed_or_not(
    lab: mb.Lab, policy: mb.Policy, qed: mb.Objective
) -> None:
    given: dict[str, Any] = {"objective": qed, "policy": policy, "seed": 3}
    with lab.run("whole", **given) as run:
        whole = training(run, 7)
    drawn = rows_of(lab, run.run_id)
    by_iteration: dict[int, dict[str, set[str]]] = {}
    for iteration, sampler, sha256, *_ in drawn:
        by_iteration.setdefault(iteration, {}).setdefault(sampler, set()).add(sha256)
    best, highest, seen = policy.sha256, -1.0, set()
    for iteration, shas in sorted(by_iteration.items()):
        assert shas["reminder"] == {best}
        (sha256,) = shas["live"]
        samplers = {"live", "reminder"} if sha256 == best else {"live"}
        # A row without a reward is no molecule here.
        rewards = [row[4] or 0.0 for row in drawn if row[0] == iteration and row[1] in samplers]
        if sum(rewards) / len(rewards) > highest:
            best, highest = sha256, sum(rewards) / len(rewards)
        seen.add(best)
    assert len(seen) > 1, "there was more than one best agent"
    metric = lab.query("SELECT value FROM metrics WHERE run_id = ? AND name = 'best_agent_reward'", [run.run_id])
    assert max(metric["value"]) == pytest.approx(highest)

    def stop(done: FitProgress) -> None:
        if done.iteration == 5:
            raise Stopped

    with pytest.raises(Stopped), lab.run("whole", **given) as stopped:
        training(stopped, 7, stop)
    with lab.run("whole", **given, resume=stopped.run_id) as again:
        assert training(again, 7).policy_sha256 == whole.policy_sha256
    assert rows_of(lab, stopped.run_id) == drawn


def test_a_loss_that_needs_reminders_is_refused_without(
    lab: mb.Lab, policy: mb.Policy, qed: mb.Objective, caplog: pytest.LogCaptureFixture
) -> None:
    with lab.run("without", objective=qed, policy=policy, seed=3) as run:
        live = mb.ModelSampler("live", run.agent, size=mb.SamplerSize(p_batch=1.0))
        with pytest.raises(UnsuitableDataError, match=r"run\.best"):
            training(run, 1, samplers=[live])
    with lab.run("warm", objective=qed, policy=policy, seed=3) as run:
        warm = mb.ModelSampler("warm", run.best, size=mb.SamplerSize(p_batch=1.0), sampling=mb.Sampling(1.5))
        with pytest.raises(UnsuitableDataError, match="leave these settings out"):
            training(run, 1, samplers=[warm])
        assert training(run, 1, samplers=[warm], loss="reinvent").iterations == 1
        assert "'warm' draws from run.best" in caplog.text and "a p_batch" in caplog.text
        caplog.clear()
        live = mb.ModelSampler("live", run.agent, size=mb.SamplerSize(p_batch=0.5))
        half = mb.ModelSampler("warm", run.best, size=mb.SamplerSize(p_batch=0.5))
        training(run, 1, samplers=[live, half], loss="reinvent")
        assert "run.best" not in caplog.text
    assert BestAgentReminder().needs_reminders
