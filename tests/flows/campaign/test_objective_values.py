"""What a store says of an objective is what the room of scoring computes, for every kind of transform."""

import numpy as np
import pytest

from molbuffer.lab.provenance import objective_definition
from molbuffer.scoring import components, transforms
from molbuffer.scoring.objective import Objective, WeightedComponent
from molbuffer.scoring.transforms import (
    Desirability,
    DoubleSigmoid,
    Gaussian,
    Identity,
    Linear,
    ReverseSigmoid,
    Sigmoid,
    Step,
)
from molbuffer.storage import SampleStore
from molbuffer.storage.catalog.schema.score_views import ROUNDING, TRANSFORMED
from molbuffer.storage.records import (
    Build,
    Commit,
    Event,
    Reward,
    Run,
    RunKind,
    Samples,
    Score,
)
from molbuffer.storage.rows import Rows

KINDS = [
    *(Sigmoid(0.2, 0.6), Sigmoid(-5.0, 1e6, 40.0), Sigmoid(0.0, 1e-9, 0.25), ReverseSigmoid(1, 10)),
    *(ReverseSigmoid(-12.0, -6.0, 3.0), DoubleSigmoid(200, 500), DoubleSigmoid(0, 1, 0.3, 17.0), Linear(0, 4)),
    *(Desirability(0.5, 0.0, 3.0, 2.0, 0.5), Desirability(-6.0, high=1.0), Desirability(2.0, low=-5.0)),
    *(Linear(-1e300, 1e300), Step(1, 2), Step(0, 0), Step(-0.5, 0.1), Gaussian(3, 0.5), Gaussian(-7.1, 1e-200)),
]
VALUES = [
    *(0.0, -0.0, 1.0, 0.1, 0.2, 0.4, 0.6, 1 / 3, 2.0, 3.0, -7.1, 199.9, 350.0, 500.0, 1e-320, -1e-5),
    *(1 + 1e-7, -1e-7, 1 + 1e-5, 1e308, -1e308, 1e154, 5e-324, -12.0, -6.0, 1e-9, 2e-9),
    *np.random.default_rng(0).normal(0, 5, 40).tolist(),
]


def test_every_transform_has_an_sql_expression() -> None:
    kinds = {each.kind for each in vars(transforms).values() if isinstance(getattr(each, "kind", None), str)}
    assert kinds == TRANSFORMED.keys() == {each.kind for each in (Identity(), *KINDS)}
    assert transforms.ROUNDING == ROUNDING


@pytest.mark.filterwarnings("error")
def test_transformed_values_in_sql_are_those_of_the_objective(store: SampleStore) -> None:
    parts = [
        WeightedComponent(components.Property("logp", f"it's {at}"), 0.1 + at, each) for at, each in enumerate(KINDS)
    ]
    objective = Objective((WeightedComponent(components.QED()), *parts), "product")
    definition = objective_definition(objective)
    run = Run("run", "test", RunKind.BUILD, "{}", 0, objective_sha256=objective.sha256, definition=definition)
    store.start_run(run)
    smiles = ["C" * (1 + at) for at in range(len(VALUES))]
    n = len(smiles)
    rows = Rows(
        tokens=np.ones((n, 1), np.uint8),
        lengths=np.ones(n, np.int32),
        log_probs=np.zeros((n, 1), np.float32),
        vocabulary_sha256="vocabulary",
    )
    scores = [
        Score(text, part.component.name, part.component.version, value)
        for part in objective.components
        for text, value in zip(smiles, VALUES, strict=True)
    ]
    rewards = [Reward(row, objective.sha256, 0.5) for row in range(n)]
    samples = Samples(smiles, smiles, [None] * n, rows)
    fields = {"objective_sha256": objective.sha256, "samples": samples, "rewards": rewards, "scores": scores}
    store.commit(Commit([Build("run", 0, Event.BUILD_BUFFER, "live", "model", **fields)]))
    found = store.query(
        "SELECT component, weight, raw_value, transformed_value FROM molecule_scores ORDER BY position, length(smiles)"
    )
    assert found.height == len(objective.components) * n
    for part in objective.components:
        of_part = found.filter(found["component"] == part.component.name)
        assert of_part["raw_value"].to_list() == VALUES
        assert set(of_part["weight"]) == {part.weight}
        expected = part.transform(np.array(VALUES))
        values = [np.nan if value is None else value for value in of_part["transformed_value"]]
        np.testing.assert_allclose(values, expected, rtol=1e-12, atol=1e-300, err_msg=str(part.transform))


def test_bounds_in_sql_are_those_of_the_objective(store: SampleStore) -> None:
    parts = [
        WeightedComponent(components.Property("logp", f"{at}"), transform=each, pessimism=0.5 * (1 + at % 3))
        for at, each in enumerate(KINDS)
    ]
    bounded = WeightedComponent(components.QED(), pessimism=2.0)
    objective = Objective([bounded, *parts], "product")
    definition = objective_definition(objective)
    store.start_run(
        Run("run", "test", RunKind.BUILD, "{}", 0, objective_sha256=objective.sha256, definition=definition)
    )
    rng = np.random.default_rng(1)
    smiles = ["C" * (1 + at) for at in range(30)]
    raw, stds = rng.uniform(0, 1, len(smiles)), rng.uniform(0, 0.5, len(smiles))
    stds[0] = np.nan
    scores = [
        Score(text, part.component.name, part.component.version, value, std=None if np.isnan(std) else std)
        for part in objective.components
        for text, value, std in zip(smiles, raw.tolist(), stds.tolist(), strict=True)
    ]
    rewards = [Reward(row, objective.sha256, 0.5) for row in range(len(smiles))]
    samples = Samples(smiles, smiles, [None] * len(smiles), Rows.blank(len(smiles), "vocabulary"))
    fields = {"objective_sha256": objective.sha256, "samples": samples, "rewards": rewards, "scores": scores}
    store.commit(Commit([Build("run", 0, Event.BUILD_BUFFER, "live", "model", **fields)]))
    expected = objective.transformed(
        {part.component.name: raw for part in objective.components},
        {part.component.name: stds for part in objective.components},
    )
    found = store.query("SELECT component, transformed_value FROM molecule_scores ORDER BY position, length(smiles)")
    for name, values in expected.items():
        of_part = found.filter(found["component"] == name)["transformed_value"].to_numpy()
        np.testing.assert_allclose(of_part, values, rtol=1e-12, atol=1e-300)
    assert np.isnan(expected["qed"][0])
