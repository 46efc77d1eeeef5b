"""Trainings of a block as stages: each with an end, an objective and filters of its own, resumed or not."""

from typing import Any

import pytest

import molbuffer as mb
from molbuffer.storage import RunConflictError
from molbuffer.training import FitProgress

WEIGHT = mb.Objective([mb.WeightedComponent(mb.Property("molecular_weight"), 1.0, mb.Linear(0.0, 200.0))])
LIGHT = mb.PropertyRange("molecular_weight", maximum=90)


class Stopped(Exception):
    pass


def stages(run: mb.LabRun, stop_at: int | None = None, **changed: Any) -> list[Any]:
    """Three stages, the first two of which end before their last iteration."""

    def progress(done: FitProgress) -> None:
        if done.iteration == stop_at:
            raise Stopped

    live = mb.ModelSampler("live", run.agent, size=mb.SamplerSize(p_batch=1.0))
    given = {"batch_size": 6, "samplers": [live], "checkpoint_every": 2, "progress": progress, "own_only": True}
    given["learner"] = mb.LearnerSettings(learning_rate=0.02)
    first = {"until": mb.StageEndSettings(iterations=3)} | changed
    return [
        run.train(iterations=20, **given, **first),
        run.train(iterations=30, until=mb.StageEndSettings(oracle_calls=4), objective=WEIGHT, **given),
        run.train(iterations=9, filters=[LIGHT], **given),
    ]


SQL = """SELECT s.iteration, b.stage, b.objective_sha256, s.raw, s.rejected_by, s.reward FROM sample_history AS s
    JOIN builds AS b USING (build_id) WHERE s.run_id = ? ORDER BY s.iteration, s."row" """


def test_each_stage_has_its_end_its_objective_and_its_filters(
    lab: mb.Lab, policy: mb.Policy, qed: mb.Objective
) -> None:
    given: dict[str, Any] = {"objective": qed, "policy": policy, "seed": 6}
    with lab.run("whole", **given) as run:
        first, second, third = stages(run)
    assert (first.ended, first.iterations) == ("stage 0: 3 iterations", 3)
    assert second.ended.startswith("stage 1: ") and second.ended.endswith(" oracle calls")
    assert third.ended is None and third.iterations == 9 > second.iterations > 3
    rows = lab.query(SQL, [run.run_id])
    of_stages = rows.group_by("stage", maintain_order=True).agg("objective_sha256", "iteration").to_dicts()
    assert [each["stage"] for each in of_stages] == [0, 1, 2]
    assert [set(each["objective_sha256"]) for each in of_stages] == [{qed.sha256}, {WEIGHT.sha256}, {qed.sha256}]
    assert [min(each["iteration"]) for each in of_stages] == [0, 3, second.iterations]
    assert "property" not in rows.filter(rows["stage"] < 2)["rejected_by"].unique().to_list()
    seen = lab.query(
        "SELECT DISTINCT value FROM metrics WHERE run_id = ? AND name = 'stage' ORDER BY ALL", [run.run_id]
    )
    assert seen["value"].to_list() == [0.0, 1.0]

    # The second stage had come to its end, and the third one was not begun.
    with pytest.raises(Stopped), lab.run("whole", **given) as stopped:
        stages(stopped, second.iterations)
    with lab.run("whole", **given, resume=stopped.run_id) as again:
        results = stages(again)
    assert results[-1].policy_sha256 == third.policy_sha256
    assert [each.ended for each in results] == [first.ended, second.ended, None]
    assert lab.query(SQL, [stopped.run_id]).rows() == rows.rows()


def test_a_training_that_was_extended_has_no_end_of_before(lab: mb.Lab, policy: mb.Policy, qed: mb.Objective) -> None:
    given: dict[str, Any] = {"objective": qed, "policy": policy, "seed": 6}

    def train(resume: str | None, *, minutes: float | None, twice: bool) -> list[str | None]:
        with lab.run("extended", **given, resume=resume) as run:
            live = mb.ModelSampler("live", run.agent, size=mb.SamplerSize(p_batch=1.0))
            first = run.train(batch_size=6, iterations=3, samplers=[live], max_minutes=minutes, own_only=True)
            second = [run.train(batch_size=6, iterations=4, samplers=[live], own_only=True)] if twice else []
        return [each.ended for each in [first, *second]]

    assert train(None, minutes=1e-6, twice=False) == ["1e-06 minutes"]
    run_id = lab.runs()["run_id"][0]
    assert train(run_id, minutes=None, twice=True) == [None, None]
    assert train(run_id, minutes=None, twice=True) == [None, None]


def test_another_end_is_refused_on_resume(lab: mb.Lab, policy: mb.Policy, qed: mb.Objective) -> None:
    given: dict[str, Any] = {"objective": qed, "policy": policy, "seed": 6}
    with pytest.raises(Stopped), lab.run("whole", **given) as stopped:
        stages(stopped, 2)
    with lab.run("whole", **given, resume=stopped.run_id) as again:
        with pytest.raises(RunConflictError, match=r"until\.iterations: it was 3, got 5"):
            stages(again, until=mb.StageEndSettings(iterations=5))
        with pytest.raises(TypeError, match="until: expected StageEndSettings"):
            stages(again, until=5)
    with pytest.raises(ValueError, match="iterations"):
        mb.StageEndSettings(iterations=0)
