"""What a run from Python was given is recorded, and compared when it is gone on with."""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

import molbuffer as mb
from molbuffer.flows.tools import named_policy
from molbuffer.kinds import read_source
from molbuffer.lab.given import MAY_CHANGE
from molbuffer.storage import RunConflictError
from molbuffer.storage.errors import UnknownRunError

TRAINING: dict[str, Any] = {
    "batch_size": 4,
    "iterations": 2,
    "samplers": {"agent": 0.5},
    "loss": mb.Reinvent(sigma=10.0),
    "selection": mb.TopK(8),
}


@pytest.fixture
def begun(lab: mb.Lab, policy: mb.Policy, qed: mb.Objective) -> str:
    """The id of a run with a build and two iterations."""
    with lab.run("begun", objective=qed, policy=policy, seed=7) as run:
        run.build(mb.ModelSampler("agent", run.agent), n=8)
        run.train(**TRAINING)
    return run.run_id


def resumed(lab: mb.Lab, policy: mb.Policy, qed: mb.Objective, run_id: str, name: str = "begun") -> Any:
    return lab.run(name, objective=qed, policy=policy, seed=7, resume=run_id)


def events(lab: mb.Lab, run_id: str) -> list[dict[str, Any]]:
    sql = "SELECT detail FROM run_events WHERE run_id = ? AND status = 'given' ORDER BY created"
    return [json.loads(text) for text in lab.query(sql, [run_id])["detail"]]


def test_builds_and_trainings_stand_in_the_record(lab: mb.Lab, begun: str) -> None:
    build, training = events(lab, begun)
    assert (build["event"], build["n"], build["sampler"]["class"]) == (
        "build",
        8,
        "molbuffer.samplers.model:ModelSampler",
    )
    assert build["sampler"]["policy"] == "of the run"
    assert training["batch_size"] == 4
    assert training["loss"] == {"class": "molbuffer.training.losses.augmented_likelihood:Reinvent", "sigma": 10.0}
    assert training["selection"]["k"] == 8
    assert training["learner"]["learning_rate"] == mb.LearnerSettings().learning_rate
    assert training["samplers"]["agent"]["p_batch"] == 0.5
    # They are no status of the run.
    assert lab.runs()["status"].to_list() == ["finished"]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"loss": mb.Reinvent(sigma=20.0)}, r"loss.sigma: it was 10.0, got 20.0"),
    ({"loss": "grpo"}, r"loss: it was .*Reinvent.*, got .*GRPO"),
    ({"batch_size": 8}, r"batch_size: it was 4, got 8"),
    ({"selection": mb.Uniform()}, r"selection: it was .*TopK"),
    ({"selection": mb.TopK(9)}, r"selection.k: it was 8, got 9"),
    ({"samplers": {"agent": 0.75}}, r"samplers.agent.p_batch: it was 0.5, got 0.75"),
    ({"learner": mb.LearnerSettings(learning_rate=0.5)}, r"learner.learning_rate: it was 0.0003, got 0.5"),
    ({"own_only": True}, r"own_only: it was false, got true"),
]


def test_another_training_is_refused_by_the_key(lab: mb.Lab, policy: mb.Policy, qed: mb.Objective, begun: str) -> None:
    with resumed(lab, policy, qed, begun) as run:
        run.build(mb.ModelSampler("agent", run.agent), n=8)
        for changes, named in REFUSED:
            with pytest.raises(RunConflictError, match=named):
                run.train(**(TRAINING | {"iterations": 3} | changes))
        assert run.train(**TRAINING).iterations == 2
    assert lab.query("SELECT max(iteration) FROM metrics WHERE name = 'loss'").item() == 1


def test_what_may_change_changes_and_is_recorded(lab: mb.Lab, policy: mb.Policy, qed: mb.Objective, begun: str) -> None:
    with resumed(lab, policy, qed, begun) as run:
        run.build(mb.ModelSampler("agent", run.agent), n=8)
        result = run.train(**(TRAINING | {"iterations": 3, "checkpoint_every": 5, "build_every": 2}))
    assert result.iterations == 3
    *_, newest = events(lab, begun)
    assert (newest["iterations"], newest["checkpoint_every"], newest["build_every"]) == (3, 5, 2)
    assert {"iterations", "checkpoint_every", "build_every"} <= MAY_CHANGE.keys()


def test_fewer_iterations_another_name_and_another_build_are_refused(
    lab: mb.Lab, policy: mb.Policy, qed: mb.Objective, begun: str
) -> None:
    with (
        pytest.raises(RunConflictError, match='name = "begun", got "other"'),
        resumed(lab, policy, qed, begun, "other"),
    ):
        pass
    with resumed(lab, policy, qed, begun) as run:
        cold = mb.ModelSampler("agent", run.agent, sampling=mb.Sampling(0.5))
        for sampler, n, named in ((cold, 8, r"sampling.temperature"), (run.agent, 9, r"n: it was 8, got 9")):
            with pytest.raises(RunConflictError, match=named):
                run.build(sampler if sampler is cold else mb.ModelSampler("agent", run.agent), n=n)
        run.build(mb.ModelSampler("agent", run.agent), n=8)
        with pytest.raises(RunConflictError, match="has done 2 iterations, and cannot go on to 1"):
            run.train(**(TRAINING | {"iterations": 1}))
    assert lab.query("SELECT count(*) FROM builds WHERE event = 'build_buffer'").item() == 1


def test_a_first_try_that_made_nothing_may_be_another(lab: mb.Lab, policy: mb.Policy, qed: mb.Objective) -> None:
    def no_loss(rows: Any) -> Any:
        return None

    with pytest.raises(ValueError, match="no_loss"), lab.run("try", objective=qed, policy=policy, seed=7) as run:
        run.build(mb.ModelSampler("agent", run.agent), n=8)
        run.train(**(TRAINING | {"loss": no_loss}))
    with resumed(lab, policy, qed, run.run_id, "try") as run:
        run.build(mb.ModelSampler("agent", run.agent), n=8)
        assert run.train(**TRAINING).iterations == 2


def test_several_trainings_of_a_block_are_found_again(lab: mb.Lab, policy: mb.Policy, qed: mb.Objective) -> None:
    def work(run: mb.LabRun, last: int) -> Any:
        run.build(mb.ModelSampler("agent", run.agent), n=8)
        run.train(**TRAINING)
        return run.train(**(TRAINING | {"iterations": last, "loss": "reinvent"}))

    with lab.run("two", objective=qed, policy=policy, seed=7) as run:
        work(run, 3)
    with resumed(lab, policy, qed, run.run_id, "two") as again:
        assert work(again, 4).iterations == 4
    with resumed(lab, policy, qed, run.run_id, "two") as again:
        again.build(mb.ModelSampler("agent", again.agent), n=8)
        with pytest.raises(RunConflictError, match=r"training 0.*\n.*iterations: it was 2, got 3"):
            again.train(**(TRAINING | {"iterations": 3}))


def test_an_offline_training_is_compared_too(lab: mb.Lab, policy: mb.Policy, qed: mb.Objective, begun: str) -> None:
    def offline(steps: int = 2, **more: Any) -> Any:
        return lab.offline("o", objective=qed, policy=policy, seed=1, steps=steps, **({"batch_size": 4} | more))

    run_id = offline().run_id
    assert events(lab, run_id)[0]["batch_size"] == 4
    with pytest.raises(RunConflictError, match="batch_size: it was 4, got 2"):
        offline(3, batch_size=2, resume=run_id)
    with pytest.raises(RunConflictError, match="has done 2 iterations, and cannot go on to 1"):
        offline(1, resume=run_id)
    assert offline(3, resume=run_id).iterations == 3


LOSS = "def mine(rows):\n    return -(rows.agent.sum(1) * rows.rewards).mean() * {factor}\n"
COMPONENT = """
class Length:
    name, version, values_are = "length", "length-1", {factor}
    def values(self, molecules):
        return [0.5 for _ in molecules]
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes a module of the user and imports it anew."""
    monkeypatch.syspath_prepend(tmp_path)
    # A file of the same size and second would be taken for the one before.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(name: str, text: str) -> Any:
        (tmp_path / f"{name}.py").write_text(text)
        sys.modules.pop(name, None)
        read_source.cache_clear()
        importlib.invalidate_caches()
        return importlib.import_module(name)

    return write


def test_the_source_of_a_function_and_a_class_of_the_user_is_recorded_and_compared(
    lab: mb.Lab, policy: mb.Policy, module: Any
) -> None:
    losses, components = module("my_losses", LOSS.format(factor=1)), module("my_parts", COMPONENT.format(factor=1))
    objective = mb.Objective([components.Length()])
    with lab.run("own", objective=objective, policy=policy, seed=7) as run:
        run.build(mb.ModelSampler("agent", run.agent), n=8)
        run.train(**(TRAINING | {"loss": losses.mine}))
    libraries = lab.store.run(run.run_id).libraries
    assert len(libraries["components my_parts:Length"]) == 64
    recorded = events(lab, run.run_id)[-1]
    assert (recorded["loss"], list(recorded["sources"])) == ("my_losses:mine", ["losses my_losses:mine"])

    losses = module("my_losses", LOSS.format(factor=2))
    with lab.run("own", objective=objective, policy=policy, seed=7, resume=run.run_id) as run:
        run.build(mb.ModelSampler("agent", run.agent), n=8)
        with pytest.raises(RunConflictError, match=r"sources.losses my_losses:mine"):
            run.train(**(TRAINING | {"loss": losses.mine, "iterations": 3}))
    other = mb.Objective([module("my_parts", COMPONENT.format(factor=2)).Length()])
    with (
        pytest.raises(RunConflictError, match="components my_parts:Length has changed"),
        lab.run("own", objective=other, policy=policy, seed=7, resume=run.run_id),
    ):
        pass


def test_the_last_policy_of_a_run_has_a_name_everywhere(
    lab: mb.Lab, policy: mb.Policy, qed: mb.Objective, begun: str
) -> None:
    trained = lab.store.latest_checkpoint(begun)
    assert trained is not None
    sha256 = json.loads((trained.folder / "state.json").read_text())["policy"]
    name = f"run:{begun[:8]}"
    assert lab.policy(name).sha256 == sha256 != policy.sha256
    assert named_policy(name, lab.store.path).sha256 == sha256  # that of `molbuffer sample`
    assert len(lab.sample(name, 3)) == 3
    with lab.run("warm", objective=qed, policy=policy, agent=name, seed=1) as run:
        assert run.agent().sha256 == sha256
    # It stays what it was, although the other run goes on.
    with resumed(lab, policy, qed, begun) as other:
        other.build(mb.ModelSampler("agent", other.agent), n=8)
        other.train(**(TRAINING | {"iterations": 3}))
    assert lab.policy(name).sha256 != sha256
    with lab.run("warm", objective=qed, policy=policy, agent=name, seed=1, resume=run.run_id) as again:
        assert again.agent().sha256 == sha256
    with pytest.raises(UnknownRunError):
        lab.policy("run:nobody")
