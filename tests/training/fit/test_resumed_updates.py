"""R16, R32: a training with several updates, every selection and random SMILES is the same after it was stopped."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from molbuffer.samplers.by_scaffold import ByScaffold
from molbuffer.scoring import Objective, WeightedComponent
from molbuffer.scoring.components import QED
from molbuffer.storage import (
    SELECTIONS,
    AboveQuantile,
    BelowQuantile,
    ConsumeOnce,
    EachMolecule,
    Mixture,
    MixturePart,
    Positions,
    Prioritized,
    RankWindow,
    Recent,
    SampleStore,
    SelectableRows,
    Selection,
    TopK,
    Uniform,
    weights_of,
)
from molbuffer.training.batches.replay import Replay
from molbuffer.training.fit.loop import FitProgress
from molbuffer.training.losses import Reinvent

EACH: tuple[Selection, ...] = (
    Uniform(),
    EachMolecule(),
    TopK(6),
    RankWindow(window=20),
    Prioritized(beta=0.5, anneal=10),
    Prioritized(by="reward", beta=1.0),
    Recent(2),
    AboveQuantile(0.5),
    BelowQuantile(0.3),
    ByScaffold(),
    Mixture([MixturePart(2.0, TopK(5)), MixturePart(1.0, BelowQuantile()), MixturePart(where="reward > 0.2")]),
)


@dataclass(frozen=True)
class InTurn:
    """Another selection in each iteration."""

    def available(self, rows: SelectableRows, consumed: NDArray[np.integer]) -> int:
        return self._now(rows).available(rows, consumed)

    def draw(self, rows: SelectableRows, n: int, rng: np.random.Generator, consumed: NDArray[np.integer]) -> Positions:
        return self._now(rows).draw(rows, n, rng, consumed)

    def weights(self, rows: SelectableRows, positions: Positions) -> NDArray[np.float64] | None:
        return weights_of(self._now(rows), rows, positions)

    def _now(self, rows: SelectableRows) -> Selection:
        return EACH[rows.iteration % len(EACH)]


class StoppedError(Exception):
    """What stops a training in these tests."""


def stop_after(iteration: int) -> Callable[[FitProgress], None]:
    def progress(report: FitProgress) -> None:
        if report.iteration == iteration:
            raise StoppedError

    return progress


def trained(lab: Any, *stops: int) -> Any:
    for stop in stops:
        with pytest.raises(StoppedError):
            lab.start().fit(3, stop_after(stop))
    training = lab.start()
    training.fit(3)
    return training


def assert_equal(resumed: Any, whole: Any) -> None:
    weights = whole.learner.policy().model.state_dict()
    for name, tensor in resumed.learner.policy().model.state_dict().items():
        assert torch.equal(tensor, weights[name]), name
    assert resumed.store.consumed("run") == whole.store.consumed("run")
    sql = """SELECT iteration, name, value FROM {metrics} WHERE sampler IS NULL AND name NOT LIKE 'seconds%'
        ORDER BY ALL"""
    assert resumed.store.read_arrow(sql).to_pylist() == whole.store.read_arrow(sql).to_pylist()


@pytest.fixture
def quick(lab: Any) -> Any:
    """A training that scores in its own process; the last batches are replayed long after they were committed."""
    objective = Objective((WeightedComponent(QED()),))
    return lab.adapted(
        objective=objective, iterations=len(EACH) + 1, buffer_size=12, build_every=8, loss=Reinvent(20.0)
    )


def test_every_selection_of_ours_is_tested_here() -> None:
    kinds = {kind.registered for kind in SELECTIONS.kinds.values() if kind.is_own}
    assert kinds == {type(each) for each in EACH} | {ConsumeOnce}


@pytest.mark.parametrize("randomise", [False, True])
def test_r16_with_each_selection_in_turn(quick: Any, tmp_path: Path, *, randomise: bool) -> None:
    changed = quick.adapted(selection=InTurn(), replay=Replay(updates=3, update_size=6, randomise=randomise))
    whole = trained(changed)
    with SampleStore.create(tmp_path / "stopped") as store:
        # Before the first checkpoint, at one, between two, and after the build that follows them.
        assert_equal(trained(changed.adapted(store=store), 2, 6, 8, 10), whole)


@pytest.mark.parametrize("replay", [Replay(3, 6, live_in_updates=True, max_policy_lag=4), Replay(2, 5, randomise=True)])
def test_r15_with_rows_that_are_consumed(quick: Any, tmp_path: Path, replay: Replay) -> None:
    changed = quick.adapted(selection=ConsumeOnce(epochs=3), iterations=7, build_every=4, replay=replay)
    whole = trained(changed)
    live = [part for part in whole.store.consumed("run") if part.build_id in whole_live(whole.store)]
    assert live, "live rows come from the buffer as well, before and after they are committed"
    with SampleStore.create(tmp_path / "stopped") as store:
        assert_equal(trained(changed.adapted(store=store), 2, 5), whole)


def whole_live(store: SampleStore) -> set[str]:
    """The live builds."""
    return set(store.read_arrow("SELECT build_id FROM {builds} WHERE event = 'sample_batch'")["build_id"].to_pylist())
