"""A run from Python scores those of more molecules that a choice takes."""

import pytest

import molbuffer as mb
from molbuffer.kinds import UnknownKindError
from molbuffer.storage import RunConflictError
from molbuffer.training.errors import UnsuitableDataError


def rejected(lab: mb.Lab, run_id: str, event: str) -> int:
    sql = "SELECT count(*) FROM sample_history WHERE run_id = ? AND rejected_by = 'choice' AND event = ?"
    count: int = lab.query(sql, [run_id, event]).item()
    return count


def test_builds_and_trainings_choose(lab: mb.Lab, policy: mb.Policy, qed: mb.Objective) -> None:
    with lab.run("chosen", objective=qed, policy=policy, seed=1, choose="maxmin") as run:
        (receipt,) = run.build(mb.ModelSampler("agent", run.agent), n=8)
        run.train(batch_size=8, iterations=1, samplers={"agent": 1.0})
    assert receipt.kept == 8
    assert rejected(lab, run.run_id, "build_buffer") >= 8
    assert rejected(lab, run.run_id, "sample_batch") >= 8


def test_the_choice_is_compared_when_a_run_is_gone_on_with(lab: mb.Lab, policy: mb.Policy, qed: mb.Objective) -> None:
    given = {"objective": qed, "policy": policy, "seed": 1}
    with lab.run("chosen", **given, choose=mb.MaxMin(candidates=2.0)) as run:
        pass
    for other in (None, mb.MaxMin(candidates=3.0), mb.Determinantal(candidates=2.0)):
        with (
            pytest.raises(RunConflictError, match=r"began with choose = .*2\.0.*MaxMin"),
            lab.run("chosen", **given, choose=other, resume=run.run_id),
        ):
            pass
    with lab.run("chosen", **given, choose=mb.MaxMin(candidates=2.0), resume=run.run_id) as again:
        assert again.resumed


def test_a_wrong_choice_is_refused(lab: mb.Lab, policy: mb.Policy, qed: mb.Objective) -> None:
    for wrong, error in (("maximum", UnknownKindError), (4.0, TypeError), (mb.MaxMin, TypeError)):
        with pytest.raises(error), lab.run("chosen", objective=qed, policy=policy, choose=wrong):  # type: ignore[arg-type]
            pass
    with lab.run("chosen", objective=qed, policy=policy, seed=1, choose="dpp") as run:
        live = mb.ModelSampler("agent", run.agent, size=mb.SamplerSize(p_batch=1.0))
        with pytest.raises(UnsuitableDataError, match="leave choose out"):
            run.train(batch_size=4, iterations=1, samplers=[live], loss="reinforce")
