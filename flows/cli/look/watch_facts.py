"""The facts of a run that ``molbuffer watch`` shows, read at one snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from molbuffer.flows.errors import UsageError

if TYPE_CHECKING:
    import polars

    from molbuffer.pages import BestMolecule, CallCurve, Funnel, RunFacts
    from molbuffer.storage import SampleStore

AT_WORK = ("started", "resumed")
"""The statuses of running runs."""
POINTS = 120
"""The most points of a curve: terminals rarely have more columns."""
SHOWN_BEST = 30
_REWARDS = ("reward_live", "reward_buffer", "reward")
_SECONDS = ("seconds_waiting", "seconds_drawing", "seconds_learning")
_RECENT = 10


@dataclass(frozen=True)
class WatchFacts:
    """The facts of a run and of its store at one snapshot.

    Attributes:
        snapshot: the snapshot of the store.
        run: the run.
        iterations: the number of iterations of which the store has metrics.
        wanted: the number of iterations that the configuration asks for; None if it does not say.
        curves: the rewards by iteration, by the name of the metric; and "best", the best reward by oracle calls.
        losses: the losses by iteration.
        seconds: the mean seconds of one of the newest iterations; None before the first.
        funnel: the numbers of rows of the run that were drawn, rejected, kept and rewarded.
        calls: the rewards of the run by oracle calls; None without rewards.
        best: the best molecules of the run.
        working: all running runs of the store, including this one.
    """

    snapshot: int
    run: RunFacts
    iterations: int
    wanted: int | None
    curves: Mapping[str, list[float]]
    losses: list[float]
    seconds: float | None
    funnel: Funnel
    calls: CallCurve | None
    best: list[BestMolecule]
    working: list[RunFacts]

    @property
    def seconds_left(self) -> float | None:
        """The seconds until the last iteration at the present speed; None if unknown, or if the run has ended."""
        if self.seconds is None or self.wanted is None or self.run.status not in AT_WORK:
            return None
        return max(0, self.wanted - self.iterations) * self.seconds


def chosen_run(store: SampleStore, name: str | None) -> str:
    """Return the id of the run to watch: the named one, or else the newest running one, or else the newest.

    Raises:
        UsageError: the store has no run.
        UnknownRunError: no run has the name.
    """
    from molbuffer.pages import list_run_facts, scope_of

    if name is not None:
        return scope_of(store, [name]).run_ids[-1]
    runs = list_run_facts(scope_of(store))
    if not runs:
        raise UsageError(f"{store.path} has no run yet: begin one with `molbuffer run`")
    working = [run for run in runs if run.status in AT_WORK]
    return (working or runs)[-1].run_id


def watch_facts(store: SampleStore, run_id: str) -> WatchFacts:
    """Return the facts of a run at the newest snapshot."""
    from molbuffer.pages import best_molecules, funnel, learning_curve, list_run_facts, rewards_by_calls, scope_of

    every = scope_of(store, actors_apart=True)
    scope = scope_of(store, [run_id], snapshot=every.snapshot)
    (run,) = list_run_facts(scope)
    found = learning_curve(scope, [*_REWARDS, *_SECONDS, "loss"], bins=POINTS)
    curves = {name: values for name in _REWARDS if (values := _values(found, name))}
    calls, best = None, list["BestMolecule"]()
    if run.objective_sha256 is not None:
        calls = next(iter(rewards_by_calls(scope, run.objective_sha256)), None)
        best = best_molecules(scope, run.objective_sha256, SHOWN_BEST) if calls and calls.best is not None else []
    if calls is not None and calls.best is not None:
        curves["best"] = calls.points["best"].drop_nulls().to_list()
    last = found["iteration"].max()
    wanted = run.setting("offline", "steps") if run.kind == "offline" else run.setting("campaign", "iterations")
    return WatchFacts(
        snapshot=every.snapshot,
        run=run,
        iterations=0 if last is None else int(last) + 1,  # type: ignore[arg-type]
        wanted=wanted if isinstance(wanted, int) and run.kind in ("train", "offline") else None,
        curves=curves,
        losses=_values(found, "loss"),
        seconds=_seconds(found),
        funnel=funnel(scope),
        calls=calls,
        best=best,
        working=[each for each in list_run_facts(every) if each.status in AT_WORK],
    )


def _values(found: polars.DataFrame, name: str) -> list[float]:
    values: list[float] = found.filter(found["name"] == name).sort("iteration")["value"].to_list()
    return values


def _seconds(found: polars.DataFrame) -> float | None:
    """Return the mean seconds of an iteration, as the sum of the means of its parts over the newest iterations."""
    parts = [_values(found, name)[-_RECENT:] for name in _SECONDS]
    means = [sum(values) / len(values) for values in parts if values]
    return sum(means) if means else None


def seconds_between(earlier: datetime, later: datetime) -> float:
    """Return the seconds between two times; 0 if the clocks of two hosts disagree so that it would be negative."""
    return max(0.0, (later - earlier).total_seconds())
