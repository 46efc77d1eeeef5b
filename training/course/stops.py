"""What ends a training before its last iteration: a budget of oracle calls, time, or rewards that rise no more."""

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
    """Counts the oracle calls of a run in each iteration, and ends it when its budget is used up.

    Attributes:
        calls: the oracle calls of the run.
    """

    calls: OracleCalls
    name: str = "oracle_calls"

    def after(self, step: StepTaken) -> Mapping[str, float | None]:
        """Return the calls up to now, those of builds of the buffer included."""
        return {"oracle_calls": float(self.calls.count)}

    def ending(self) -> Ending | None:
        """Return the budget if it is used up."""
        return Ending(f"{self.calls.count} oracle calls") if self.calls.used_up else None


@dataclass
class TimeStop(Observer):
    """Ends a run after some time, that of its parts together; time that a kill has lost does not count.

    Attributes:
        minutes: the most minutes.
        clock: the clock, in seconds.
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
        """Return the time if it has passed."""
        return Ending(f"{self.minutes:g} minutes") if self._seconds() >= 60 * self.minutes else None

    def state(self) -> Any:
        """Return the seconds up to now."""
        return self._seconds()

    def load_state(self, state: Any) -> None:
        """Go on from some seconds."""
        self._before = float(state)

    def _seconds(self) -> float:
        return self._before + (0.0 if self._began is None else self.clock() - self._began)


@dataclass
class PatienceStop(Observer):
    """Ends a run, or a stage of it, when the mean reward of its best molecules has not risen for some iterations.

    Places that no molecule has yet count as 0, so that the mean never falls.

    Attributes:
        store: the store of the run, which has the builds of the buffer.
        objective_sha256: the objective whose rewards count; with another one, the count begins anew.
        patience: the number of iterations without a rise.
        top: the number of best molecules.
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
        """Return the patience if it is over."""
        if self._without < self.patience:
            return None
        return Ending(
            f"{self._without} iterations in which the {self.top} best molecules stayed at {self._highest:.4g}"
        )

    def state(self) -> Any:
        """Return the best molecules, their highest mean, and the iterations since."""
        state = {"objective": self.objective_sha256, "best": self._best}
        return state | {"highest": self._highest, "without": self._without}

    def load_state(self, state: Any) -> None:
        """Go back to a state of the same objective."""
        if state["objective"] == self.objective_sha256:
            self._best, self._highest, self._without = dict(state["best"]), state["highest"], state["without"]

    def _take(self, rewarded: Iterable[tuple[str | None, float | None]]) -> None:
        for smiles, value in rewarded:
            if smiles is not None and value is not None:
                self._best[smiles] = max(value, self._best.get(smiles, value))
        if len(self._best) > self.top:
            # The text settles equal rewards, whatever the order of builds.
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
