"""Arguments of the front door that are wrong: each is refused with what was got and what is expected."""

from typing import Any

import numpy as np
import polars as pl
import pytest

import molbuffer as mb
from molbuffer.storage.errors import QueryError

AGENT = {"agent": 1.0}


WRONG_TRAININGS: list[tuple[dict[str, Any], str]] = [
    ({"samplers": ["agent"]}, r'samplers: expected shares by name, as \{"agent": 0.5\}.*got \[.agent.\]'),
    ({"samplers": "agent"}, "samplers: expected shares by name"),
    ({"samplers": {"agent": "half"}}, "samplers: expected a share.*'agent'.*'half'"),
    ({"samplers": {"agent": 1.5}}, "samplers: expected the share of 'agent' to be in .0, 1., got 1.5"),
    ({"samplers": [mb.ModelSampler]}, "got the class ModelSampler"),
    ({"samplers": [3]}, "expected a sampler.*got 3"),
    ({"batch_size": 0}, "batch_size: expected greater than or equal to 1, got 0"),
    ({"batch_size": 2.5}, "batch_size: expected a valid integer.*got 2.5"),
    ({"iterations": -1}, "iterations: expected greater than or equal to 0, got -1"),
    ({"checkpoint_every": 0}, "checkpoint_every: expected at least 1"),
    ({"loss": mb.Reinvent}, r"expected a loss, got the class Reinvent: write Reinvent\(...\)"),
    ({"loss": 3}, "loss: expected .*got 3"),
    ({"selection": mb.TopK}, r"expected a selection, got the class TopK: write TopK\(...\)"),
    ({"selection": 3}, "selection: expected .*got 3"),
    ({"learner": {"learning_rate": 1e-4}}, "learner: expected LearnerSettings"),
]


def test_of_a_training(lab: mb.Lab, policy: mb.Policy, qed: mb.Objective) -> None:
    with lab.run("t", objective=qed, policy=policy, seed=0) as run:
        run.build(mb.ModelSampler("agent", run.agent), n=4)
        for training, said in WRONG_TRAININGS:
            with pytest.raises((TypeError, ValueError), match=said):
                run.train(**({"batch_size": 4, "iterations": 1, "samplers": AGENT} | training))
        assert run.train(batch_size=4, iterations=1, samplers=AGENT).iterations == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"objective": [mb.QED()]}, r"objective: expected an Objective.*got \[QED"),
        ({"objective": "qed"}, "objective: expected an Objective.*got 'qed'"),
        ({"objective": mb.QED()}, "objective: expected an Objective.*got QED"),
        ({"filters": mb.PropertyRange("molecular_weight", maximum=9)}, "filters: expected a list of filters"),
        ({"filters": [mb.PropertyRange]}, "got the class PropertyRange"),
        ({"filters": ["valence"]}, "filters: expected objects"),
        ({"policy": 3}, "policy: expected a Policy, or the name of one, got 3"),
        ({"agent": 3}, "agent: expected a Policy"),
        ({"seed": 1.5}, "seed: expected a whole number"),
        ({"standardisation": "none"}, "standardisation: expected"),
    ],
)
def test_of_a_run(lab: mb.Lab, policy: mb.Policy, qed: mb.Objective, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(TypeError, match=said), lab.run("r", **({"objective": qed, "policy": policy} | changes)):
        pass
    assert len(lab.runs()) == 0


def test_of_a_sampler_and_a_build(lab: mb.Lab, policy: mb.Policy, qed: mb.Objective) -> None:
    given: Any = policy
    with pytest.raises(ValueError, match=r"expected a function that returns a Policy.*policy=lambda: policy"):
        mb.ModelSampler("agent", given)
    with pytest.raises(ValueError, match="one that returns 3"):
        mb.ModelSampler("agent", lambda: given and 3)  # type: ignore[arg-type,return-value]
    for n in (0, -3, 2.5, "8"):
        with (
            pytest.raises(ValueError, match="n: expected a number of rows"),
            lab.run("n", objective=qed, policy=policy) as run,
        ):
            run.build(mb.ModelSampler("agent", run.agent), n=n)  # type: ignore[arg-type]


def test_of_scores_queries_draws_and_offline_trainings(lab: mb.Lab, policy: mb.Policy, qed: mb.Objective) -> None:
    call: Any = lab
    with pytest.raises(TypeError, match="expected SMILES, got None at position 1 of 2"):
        call.score(["CCO", None], qed)
    with pytest.raises(TypeError, match="expected several SMILES, got 3"):
        call.score(3, qed)
    with pytest.raises(TypeError, match="objective: expected an Objective"):
        call.score(["CCO"], "qed")
    for texts in (pl.Series(["CCO"]), np.array(["CCO"]), ("CCO",)):
        assert call.score(texts, qed)["molecule"].to_list() == ["CCO"]
    for parameters in (1, "a", {1}):
        with pytest.raises(QueryError, match="parameters are a list, or a mapping of names, got"):
            call.query("SELECT ?", parameters)
    with pytest.raises(ValueError, match="n: expected at least 0, got -1"):
        call.sample(policy, -1)
    with pytest.raises(TypeError, match="policy: expected a Policy"):
        call.sample(3)
    for name, value in {"steps": 0, "batch_size": 0, "checkpoint_every": 0}.items():
        with pytest.raises(ValueError, match=f"{name}: expected at least 1, got 0"):
            call.offline("o", objective=qed, policy=policy, **({"steps": 1} | {name: value}))
    with pytest.raises(ValueError, match="batch_size: expected at least 1"):
        call.dataset(qed, policy=policy, batch_size=0)
