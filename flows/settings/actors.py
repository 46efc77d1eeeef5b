"""The ``[actors]`` table: the rate limit between actors and learner, and the checks of an asynchronous training."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated

import numpy as np
from annotated_types import Gt
from numpy.typing import NDArray
from pydantic import Field

from molbuffer.flows.settings.base import Section
from molbuffer.flows.settings.problems import Problem
from molbuffer.kinds import Count
from molbuffer.samplers import LearningKeys, batch_quotas
from molbuffer.storage import ConsumeOnce, Positions, Recent, Selection
from molbuffer.training import RateLimit, ValidOn, least_tolerance

if TYPE_CHECKING:
    from molbuffer.flows.settings.settings import Settings

ASYNC = "async"
MODE = ("training", "mode")
MOST_TRIED = 100_000
"""The largest number of rows on which a selection is tried."""


class ActorsSettings(Section):
    """The actors of an asynchronous training, and the rate limit between them and the learner."""

    samples_per_insert: Annotated[float, Gt(0)] = 1.0
    """How often each molecule that an actor stores is used in training, in the long run."""

    tolerance: Annotated[float, Gt(0)] | None = None
    """The largest surplus or deficit of the learner, in molecules used; at least half the sum of what an iteration uses
    and a build adds. Default: twice the least."""

    min_rows: Count | None = None
    """The number of molecules that actors store before the learner begins. Default: as many as the first iteration
    needs."""

    repin_every: Count = 1
    """The number of iterations after which the learner reads the rows that actors have stored; it also reads them when
    it is short of rows."""

    local: Annotated[int, Field(ge=0)] = 0
    """The number of actors that the learner's command starts on its machine, and stops when it ends. `molbuffer act`
    starts further ones, on any host."""

    wait_minutes: Annotated[float, Gt(0)] = 30.0
    """The minutes that the learner waits for a new build of any actor, and that an actor waits for a learner that has
    died; each then ends, and can be resumed."""


@dataclass(frozen=True)
class Rates:
    """The rows that a configuration moves in an iteration of the learner, and in a build of an actor."""

    settings: Settings

    @property
    def table(self) -> ActorsSettings:
        """The table [actors], or its defaults if the configuration has none."""
        return self.settings.actors or ActorsSettings()

    @cached_property
    def iterations(self) -> list[int]:
        """The first iteration, and those in which a sampler begins or ends."""
        last = self.settings.campaign.iterations
        at = {edge for each in self.settings.samplers for edge in (each.from_iteration, each.until_iteration)}
        return sorted({0, *(edge for edge in at if edge is not None and edge < last)})

    def of_batch(self, iteration: int) -> int:
        """Return the number of rows that the batch of an iteration takes from the buffer."""
        shares = [each.size.p_batch_at(iteration) for each in self.settings.samplers]
        size = self.settings.campaign.batch_size
        return size - sum(batch_quotas(size, shares))

    def of_iteration(self, iteration: int) -> int:
        """Return the number of rows that all updates of an iteration take from the buffer."""
        replay = self.settings.training.replay(self.settings.buffer)
        size, of_batch = self.settings.campaign.batch_size, self.of_batch(iteration)
        return of_batch + (replay.updates - 1) * replay.rows_of_update(size, size - of_batch)

    def of_build(self, iteration: int) -> int:
        """Return the number of rows that a build with the policy of an iteration adds."""
        return sum(each.size.buffer_size_at(iteration) for each in self.settings.samplers)

    @property
    def sampled(self) -> int:
        """The largest number of rows that an iteration takes from the buffer."""
        return max(map(self.of_iteration, self.iterations))

    @property
    def inserted(self) -> int:
        """The largest number of rows that a build adds."""
        return max(map(self.of_build, self.iterations))

    @property
    def least_tolerance(self) -> float:
        """The tolerance below which learner and actors may wait for each other without end."""
        return least_tolerance(self.table.samples_per_insert, sampled=self.sampled, inserted=self.inserted)

    @property
    def limit(self) -> RateLimit:
        """The rate limit, with the defaults filled in."""
        tolerance = self.table.tolerance or max(1.0, 2 * self.least_tolerance)
        return RateLimit(self.table.samples_per_insert, tolerance, self.table.min_rows or self.least_rows(tolerance))

    def least_rows(self, tolerance: float) -> int:
        """Return the number of rows that must be stored before the first iteration, so that no later one is short."""
        rows = max(1, max(map(self.of_batch, self.iterations)))
        if isinstance(self.settings.buffer.selection.build(), ConsumeOnce):
            rows = max(rows, math.ceil(tolerance / self.table.samples_per_insert))
        return rows


def broken_actors(settings: Settings) -> Iterator[Problem]:
    """Yield the problems of a configuration with an asynchronous training."""
    for i, stage in enumerate(settings.stages):
        if stage.training.get("mode", settings.training.mode) == ASYNC:
            yield Problem(("stages", i), "actors cannot follow stages: remove the stages, or set training.mode to sync")
    if settings.training.mode != ASYNC or settings.campaign.offline or settings.stages:
        return
    try:
        unfit = [*_unfit(settings)]
        rates = Rates(settings)
        yield from unfit
        yield from _draws(rates)
    except ValueError:  # another rule reports the wrong shares of samplers
        return
    if not unfit and rates.inserted and rates.sampled:
        yield from _deadlocks(rates)


def warnings_of_actors(settings: Settings) -> list[str]:
    """Return a warning if the table has no effect."""
    if settings.actors is not None and settings.training.mode != ASYNC:
        return ['the table [actors] has no effect without training.mode = "async"']
    return []


def _unfit(settings: Settings) -> Iterator[Problem]:
    loss = settings.training.built_loss
    if loss.valid_on is ValidOn.ON_POLICY:
        message = (
            f"the loss {settings.training.loss.kind} is valid on rows that the policy in training has just drawn, and "
            'actors draw with an earlier policy; set mode to "sync", or take a loss that is valid on their rows'
        )
        yield Problem(MODE, message)
    if settings.screening is not None:
        message = (
            "each actor would fit its surrogate model to its own scores alone; remove the table, or set training.mode "
            'to "sync"'
        )
        yield Problem(("screening",), message)
    if settings.diversity is not None and getattr(settings.diversity.build(), "purge", False):
        message = "purged rows still count as inserted, so that learner and actors may wait for each other without end"
        yield Problem(("diversity", "purge"), f"{message}; set it to false")
    for i, each in enumerate(settings.samplers):
        if isinstance(each.table, LearningKeys) and each.table.optimise:
            message = "actors draw from the initial latents, and never get the trained ones; set it to false"
            yield Problem(("samplers", i, "optimise"), message)


def _draws(rates: Rates) -> Iterator[Problem]:
    if not rates.sampled:
        message = "every row of a batch is drawn live, so that no row of an actor is used; lower some p_batch"
        yield Problem(MODE, message)
    for iteration in rates.iterations:
        if rates.of_iteration(iteration) and not rates.of_build(iteration):
            message = (
                f"actors draw for iteration {iteration}, which takes {rates.of_iteration(iteration)} rows from the "
                "buffer, and no sampler has a buffer_size there; give one to a sampler"
            )
            yield Problem(("samplers",), message)
            return


def _deadlocks(rates: Rates) -> Iterator[Problem]:
    """Yield problems by which learner and actors could wait for each other without end."""
    table, limit, m, b = rates.table, rates.limit, rates.sampled, rates.inserted
    rho, tolerance = limit.samples_per_insert, limit.tolerance
    if tolerance < rates.least_tolerance:
        yield Problem(
            ("actors", "tolerance"),
            f"learner and actors may wait for each other without end: an iteration uses {m} rows and a build adds {b}, "
            f"of which each is used {rho:g} times, so that 2 x tolerance >= {m} + {rho:g} x {b} = {m + rho * b:g} must "
            f"hold, and 2 x {tolerance:g} = {2 * tolerance:g} is less; expected at least {rates.least_tolerance:g}",
        )
        return
    selection = rates.settings.buffer.selection.build()
    if isinstance(selection, ConsumeOnce):
        yield from _used_up(rates, selection)
    yield from _too_old(rates, selection)
    of_batch = max(map(rates.of_batch, rates.iterations))
    offered = _offered(selection, min(limit.min_rows, MOST_TRIED))
    if offered is not None and offered < of_batch:
        key = (
            ("buffer", "selection")
            if table.min_rows is None or limit.min_rows >= MOST_TRIED
            else ("actors", "min_rows")
        )
        yield Problem(
            key,
            f"the learner begins with {limit.min_rows} rows, of which the selection {selection} offers {offered}, and "
            f"a batch needs {of_batch} of them; raise actors.min_rows, or take another selection",
        )


def _used_up(rates: Rates, selection: ConsumeOnce) -> Iterator[Problem]:
    limit, epochs = rates.limit, selection.epochs
    rho = limit.samples_per_insert
    if rho > epochs:
        yield Problem(
            ("actors", "samples_per_insert"),
            f"the selection consume_once gives each row {epochs} times, so that {rho:g} samples per insert are "
            f"impossible; expected at most {epochs}, or raise epochs of the selection",
        )
    elif limit.tolerance > rho * limit.min_rows:
        yield Problem(
            ("actors", "min_rows"),
            f"the selection consume_once may run out of rows while the rate limit lets the learner go on: {rho:g} x "
            f"{limit.min_rows} = {rho * limit.min_rows:g} must be at least the tolerance {limit.tolerance:g}; expected "
            f"min_rows >= {rates.least_rows(limit.tolerance)}, or another selection",
        )


def _too_old(rates: Rates, selection: Selection) -> Iterator[Problem]:
    """Yield a problem for each bound on the age of rows that all rows of actors may exceed."""
    settings, limit = rates.settings, rates.limit
    m, b, rho = rates.sampled, rates.inserted, limit.samples_per_insert
    # The policy of a build is at most one checkpoint interval old when the build begins. Before its rows are used, the
    # learner may advance by the width of the tolerance band and by the rows of a build, and each row is used over rho
    # iterations.
    ahead = math.ceil((2 * limit.tolerance + rho * b) / m) + math.ceil(rho)
    least = settings.training.checkpoint_every + ahead
    bounds = {("buffer", "max_policy_lag"): settings.buffer.max_policy_lag}
    if isinstance(selection, Recent):
        bounds["buffer", "selection"] = selection.max_iterations
    for path, bound in bounds.items():
        if bound is not None and bound < least:
            yield Problem(
                path,
                f"all rows of actors may be older than {bound} iterations: policies are published every "
                f"{settings.training.checkpoint_every} iterations (training.checkpoint_every), and learner and actors "
                f"may be {ahead} iterations apart; expected at least {least}, or lower these two",
            )


@dataclass(frozen=True)
class _Tried:
    """An index of n new rows of actors, with different molecules and rewards, on which a selection is tried."""

    n: int
    iteration: int = 0

    def __len__(self) -> int:
        return self.n

    @property
    def iterations(self) -> NDArray[np.integer]:
        return np.zeros(self.n, np.int64)

    @property
    def run_numbers(self) -> NDArray[np.integer]:
        return np.zeros(self.n, np.int64)

    @property
    def rewards(self) -> NDArray[np.float64]:
        return np.linspace(0, 1, self.n)

    @property
    def molecules(self) -> NDArray[np.uint64]:
        return np.arange(self.n, dtype=np.uint64)

    @property
    def own(self) -> NDArray[np.bool_]:
        return np.ones(self.n, bool)

    @property
    def best_first(self) -> Positions:
        return np.arange(self.n)[::-1]

    @property
    def best_of_each_molecule(self) -> Positions:
        return self.best_first

    def smiles(self, positions: Positions) -> Sequence[str | None]:
        return ["C" * (1 + int(each) % 50) for each in positions]

    def matching(self, where: str) -> NDArray[np.bool_]:
        return np.ones(self.n, bool)


def _offered(selection: Selection, rows: int) -> int | None:
    """Return how many of a number of new rows a selection of molbuffer offers; None for any other selection."""
    if type(selection).__module__.startswith("molbuffer.storage."):
        return selection.available(_Tried(rows), np.zeros(rows, np.int32))
    return None
