"""R16: a genetic algorithm breeds from all that the run has drawn, committed or not, and so does a resumed run."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from molbuffer.samplers.base import Sampler, SamplerSize
from molbuffer.samplers.graph_ga import GraphGASampler
from molbuffer.samplers.history import RunHistory
from molbuffer.samplers.model import ModelSampler
from molbuffer.scoring import Objective, WeightedComponent
from molbuffer.scoring.components import QED
from molbuffer.storage import SampleStore
from molbuffer.training.fit.loop import FitProgress

ITERATIONS = 6
CHECKPOINT_EVERY = 4

Bred = list[tuple[int, list[str]]]


class StoppedError(Exception):
    """What stops a training in these tests."""


class Told(RunHistory):
    """A history that tells which parents it gave, at which number of committed iterations."""

    told: Bred

    def best_molecules(self, n: int) -> dict[str, float]:
        found = super().best_molecules(n)
        self.told.append((self.settled(), list(found)))
        return found


@pytest.fixture
def breeding(lab: Any, chains: Any) -> tuple[Any, Bred]:
    """A training on children, with a build of the buffer between two checkpoints; and the parents of each draw."""
    objective, told = Objective((WeightedComponent(QED()),)), []

    def samplers(of: Any, writer: Any) -> Sequence[Sampler]:
        history = Told(
            of.store,
            of.run_id,
            objective_sha256=objective.sha256,
            vocabulary=chains,
            settled=writer.settled,
            unsettled=writer.unsettled,
        )
        history.told = told
        base = ModelSampler("base", lambda: of.prior)
        return [GraphGASampler("children", history, base, chains, size=SamplerSize(4, 0.25), parents=12)]

    adapted = lab.adapted(
        objective=objective, more_samplers=samplers, iterations=ITERATIONS, build_every=3, buffer_size=8, p_batch=0.25
    )
    return adapted, told


def fit(lab: Any, progress: Callable[[FitProgress], None] = lambda _: None) -> Any:
    training = lab.start()
    training.fit(CHECKPOINT_EVERY, progress)
    return training


def test_parents_are_the_best_of_all_iterations_before(breeding: tuple[Any, Bred]) -> None:
    lab, told = breeding
    training = fit(lab)
    rows = training.store.read_arrow(
        """SELECT iteration, smiles, reward FROM {sample_history} WHERE reward IS NOT NULL
        ORDER BY iteration, event, sampler_order, chunk, "row" """
    ).to_pylist()
    best = []
    for iteration in range(ITERATIONS + 1):
        before = sorted((row for row in rows if row["iteration"] < iteration), key=lambda row: -row["reward"])
        best.append(list(dict.fromkeys(row["smiles"] for row in before))[:12])
    assert [best.index(parents) for _, parents in told] == sorted(best.index(parents) for _, parents in told)
    assert {best.index(parents) for _, parents in told} == set(range(len(best) - 1))
    assert any(best.index(parents) > settled for settled, parents in told), "some were not committed yet"


def test_a_run_that_stops_in_each_iteration_has_the_same_parents(breeding: tuple[Any, Bred], tmp_path: Path) -> None:
    lab, told = breeding
    whole, parents = fit(lab), [found for _, found in told]

    def stop_after(iteration: int) -> Callable[[FitProgress], None]:
        def progress(report: FitProgress) -> None:
            if report.iteration == iteration:
                raise StoppedError

        return progress

    with SampleStore.create(tmp_path / "stopped") as store:
        stopped = replace(lab, store=store)
        for stop in range(1, ITERATIONS):
            told.clear()
            with pytest.raises(StoppedError):
                fit(stopped, stop_after(stop))
            drawn = [found for _, found in told]
            assert drawn == parents[parents.index(drawn[0]) :][: len(drawn)]
        resumed = fit(stopped)
        sql = """SELECT iteration, sampler, raw, reward FROM {sample_history}
            ORDER BY iteration, event, sampler_order, chunk, "row" """
        assert store.read_arrow(sql).to_pylist() == whole.store.read_arrow(sql).to_pylist()
        weights = whole.learner.policy().model.state_dict()
        for name, tensor in resumed.learner.policy().model.state_dict().items():
            assert torch.equal(tensor, weights[name]), name
