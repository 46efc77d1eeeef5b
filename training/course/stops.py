"""The stops of a training: a budget of oracle calls, a time, or rewards that no longer rise."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from molbuffer.samplers import OracleCalls
from molbuffer.storage import SampleStore
from molbuffer.training.course.course import Ending, Observer, StepTaken

LEAST_GAIN = 1e-6
"""The least rise of a mean of rewards that counts as an improvement."""


@dataclass
class CallsStop(Observer):
    """An observer that counts the oracle calls of a run, and ends the run when its budget is used up.

    Attributes:
        calls: the oracle calls of the run.
        name: the name of the observer in checkpoints.
    """

    calls: OracleCalls
    name: str = "oracle_calls"

    def after(self, step: StepTaken) -> Mapping[str, float | None]:
        """Return ``oracle_calls``, the number of calls up to now, those of builds of the buffer included."""
        return {"oracle_calls": float(self.calls.count)}

    def ending(self) -> Ending | None:
        """Return the used budget as the end of the run; None while calls are left."""
        return Ending(f"{self.calls.count} oracle calls") if self.calls.used_up else None


@dataclass
class TimeStop(Observer):
    """An observer that ends a run after some minutes of training, over all parts of a resumed run.

    Time between the last checkpoint and a kill does not count.

    Attributes:
        minutes: the most minutes.
        clock: returns the time in seconds.
        name: the name of the observer in checkpoints.
    """

    minutes: float
    clock: Callable[[], float] = time.monotonic
    name: str = "minutes"
    _before: float = 0.0
    _began: float | None = None

    def begin(self) -> None:
        """Start the clock."""
        self._began = self.clock()

    def ending(self) -> Ending | None:
        """Return the time as the end of the run if it has passed; else None."""
        return Ending(f"{self.minutes:g} minutes") if self._seconds() >= 60 * self.minutes else None

    def state(self) -> Any:
        """Return the seconds of training up to now."""
        return self._seconds()

    def load_state(self, state: Any) -> None:
        """Restore the seconds of the earlier parts of the run."""
        self._before = float(state)

    def _seconds(self) -> float:
        return self._before + (0.0 if self._began is None else self.clock() - self._began)


@dataclass
class PatienceStop(Observer):
    """An observer that ends a run when the mean reward of its best molecules has not risen for some iterations.

    As long as there are fewer than ``top`` molecules, the missing ones count as 0, so that the mean never falls.

    Attributes:
        store: the store of the run, which has the builds of the buffer.
        objective_sha256: the objective whose rewards count; when it changes, the count starts again.
        patience: the number of iterations without a rise.
        top: the number of best molecules.
        name: the name of the observer in checkpoints.
    """

    store: SampleStore
    objective_sha256: str
    patience: int
    top: int = 100
    name: str = "patience"
    _best: dict[str, float] = field(default_factory=dict)
    _highest: float = 0.0
    _without: int = 0

    def after(self, step: StepTaken) -> Mapping[str, float | None]:
        """Return ``best_reward``, the mean reward of the best molecules."""
        origin = step.mixed.origin
        for build in origin.live:
            rewards = {each.row: each.value for each in build.rewards if each.objective_sha256 == self.objective_sha256}
            self._take((build.samples.smiles[row], value) for row, value in rewards.items())
        if built := [*(receipt.build_id for receipt in origin.built), *origin.arrived]:
            self._take(self._of_builds(built))
        mean = sum(self._best.values()) / self.top
        self._without += 1
        if mean > self._highest + LEAST_GAIN:
            self._highest, self._without = mean, 0
        return {"best_reward": mean}

    def ending(self) -> Ending | None:
        """Return the iterations without a rise as the end of the run if they reach ``patience``; else None."""
        if self._without < self.patience:
            return None
        return Ending(
            f"{self._without} iterations in which the {self.top} best molecules stayed at {self._highest:.4g}"
        )

    def state(self) -> Any:
        """Return the best molecules, the highest mean of their rewards, and the iterations since it rose."""
        state = {"objective": self.objective_sha256, "best": self._best}
        return state | {"highest": self._highest, "without": self._without}

    def load_state(self, state: Any) -> None:
        """Restore a state; one of another objective is ignored."""
        if state["objective"] == self.objective_sha256:
            self._best, self._highest, self._without = dict(state["best"]), state["highest"], state["without"]

    def _take(self, rewarded: Iterable[tuple[str | None, float | None]]) -> None:
        for smiles, value in rewarded:
            if smiles is not None and value is not None:
                self._best[smiles] = max(value, self._best.get(smiles, value))
        if len(self._best) > self.top:
            # Molecules with equal rewards are ordered by SMILES, so that the order of builds does not matter.
            kept = heapq.nlargest(self.top, self._best.items(), key=lambda item: (item[1], item[0]))
            self._best = dict(kept)

    def _of_builds(self, build_ids: list[str]) -> list[tuple[str, float]]:
        found = self.store.read_arrow(
            """SELECT s.smiles, max(r.value) AS value
            FROM {samples} AS s JOIN {rewards} AS r ON r.build_id = s.build_id AND r."row" = s."row"
            WHERE s.build_id IN (SELECT build_id FROM wanted) AND r.objective_sha256 = ? AND r.status = 'ok'
            GROUP BY s.smiles ORDER BY value DESC, s.smiles LIMIT ?""",
            parameters=[self.objective_sha256, self.top],
            wanted=pa.table({"build_id": pa.array(build_ids, pa.string())}),
        )
        return list(zip(found["smiles"].to_pylist(), found["value"].to_pylist(), strict=True))
