"""The mixed loader: batches of live and stored rows in the shares ``p_batch``, and the draws of later updates.

Each iteration has the same steps:

1. The buffer is built if a build is due, or if it cannot fill its part of the batch even with the rows in flight, for
   which the loader waits (``in_flight``).
2. Every live sampler draws its quota.
3. The rest of the batch comes from the buffer, as do rows that a live sampler is short of or whose scores failed; the
   buffer is built for that if need be.
4. The live samplers, in configuration order, draw rows that are still missing. A batch that stays short is an error.
5. The live rows join the buffer, from which each later update of the iteration draws (R32).

The loader draws when a batch is asked for, with the policy as it is then. All randomness is a function of the seed of
the campaign, the iteration and the update, so that the state of the loader is the iteration and the pinned snapshot.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from torch.utils.data import IterableDataset, get_worker_info

from molbuffer.kinds import Count, NotNegative, checked
from molbuffer.samplers import REDRAW_ROUNDS, batch_quotas, numpy_generator
from molbuffer.training.batches.batch import Block, TrainingBatch, invalid_rows, join, live_rows
from molbuffer.training.batches.buffer import Buffer, BufferRows
from molbuffer.training.batches.in_flight import RowsInFlight
from molbuffer.training.batches.live_samplers import LiveDraw, LiveSamplers, in_order
from molbuffer.training.batches.mixed_batch import BatchOrigin, MixedBatch
from molbuffer.training.batches.replay import Replay
from molbuffer.training.batches.supply import FAILED_SCORES, BuildBuffer, Supply
from molbuffer.training.diversity import DiversityMemory
from molbuffer.training.errors import BatchShortError, LoaderUseError, TooFewRowsError

_NOT_IN_WORKERS = (
    "a mixed loader cannot be used in workers: it draws live rows and counts deliveries in the process that trains, "
    "and each worker would give all batches. Use num_workers=0, or StoredBatches, which reads stored rows only"
)


class Actors(Protocol):
    """The processes that draw rows for a training; the training reads the rows from the store."""

    def follow(self, iteration: int, *, of_batch: int, rows: int) -> Sequence[str]:
        """Read the new rows of the actors into the buffer, and wait until the rate limit admits the iteration.

        Args:
            iteration: the iteration.
            of_batch: the number of rows that the batch takes from the buffer, which the buffer must have.
            rows: the number of rows that all updates of the iteration take from the buffer.

        Returns:
            The ids of the builds that are new to the training.
        """

    def took(self, rows: int) -> Mapping[str, float | None]:
        """Count the rows that the iteration has taken from the buffer; return metrics of the rows of actors."""


@checked
@dataclass(frozen=True)
class BatchPlan:
    """The size and the schedule of a training.

    Attributes:
        batch_size: the number of rows of a batch, without those that ``train_on_invalid`` adds.
        iterations: the number of batches of the training.
        seed: the seed of the selection from the buffer.
        build_every: the number of iterations between builds of the buffer; 0 builds it only when it cannot fill a
            batch.
        train_on_invalid: add live rows that are not molecules to the batch, with reward 0.
        live_only: have other live samplers, not the buffer, make up for a live sampler that is short of rows.
        replay: the updates of an iteration, and what they take from the buffer.
    """

    batch_size: Count
    iterations: NotNegative
    seed: int
    build_every: NotNegative = 0
    train_on_invalid: bool = False
    live_only: bool = False
    _: KW_ONLY
    replay: Replay = Replay()


@dataclass
class MixedLoader(IterableDataset[MixedBatch]):
    """An iterable of the batches of a training, one for each iteration.

    The batches end early when the buffer of an offline training is used up.

    Attributes:
        plan: the size and the schedule of the training.
        buffer: the stored rows.
        live: the live samplers; None trains from the buffer alone.
        build_buffer: the function that makes due builds; None never builds.
        diversity: the diversity memory, which penalises rewards; None leaves rewards as they are.
        in_flight: the rows whose rewards are pending; None if builds are stored with all their rewards.
        actors: the processes that fill the buffer; None if this process fills it.
        iteration: the iteration of the next batch.
    """

    plan: BatchPlan
    buffer: Buffer
    live: LiveSamplers | None = None
    build_buffer: BuildBuffer | None = None
    diversity: DiversityMemory | None = None
    in_flight: RowsInFlight | None = None
    actors: Actors | None = None
    iteration: int = field(default=0, init=False)
    _ended: bool = field(default=False, init=False)

    def __iter__(self) -> Iterator[MixedBatch]:
        """Yield the batches from the present iteration on.

        Raises:
            LoaderUseError: all batches were given already, or this process is a worker of a DataLoader.
        """
        if get_worker_info() is not None:
            raise LoaderUseError(_NOT_IN_WORKERS)
        if self._ended:
            raise LoaderUseError(
                f"this loader has given its batches once, up to iteration {self.iteration}, and their rows count as "
                "consumed; go back with load_state_dict, or use StoredBatches for several passes"
            )
        while self.iteration < self.plan.iterations:
            if (mixed := self._next()) is None:
                break
            self.iteration += 1
            yield mixed
        self._ended = True

    def __getstate__(self) -> Any:
        raise LoaderUseError(_NOT_IN_WORKERS)

    def state_dict(self) -> dict[str, Any]:
        """Return the position of the loader as JSON values; the store records which rows are consumed."""
        pinned = {"snapshot": self.buffer.snapshot, "up_to_iteration": self.buffer.up_to_iteration}
        return {"iteration": self.iteration, **pinned}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to a position that ``state_dict`` returned."""
        self.iteration, self._ended = state["iteration"], False
        self.buffer.pin(state["snapshot"], state["up_to_iteration"], drawn_before=self.iteration)

    def _next(self) -> MixedBatch | None:
        iteration = self.buffer.iteration = self.iteration
        supply = Supply(
            self.buffer, iteration, build_buffer=self.build_buffer, live=self.live, in_flight=self.in_flight
        )
        quotas = self._quotas(iteration)
        from_buffer = self.plan.batch_size - sum(quotas)
        arrived = self._follow_actors(supply, from_buffer)
        supply.ensure(from_buffer, due=self.plan.build_every > 0 and iteration % self.plan.build_every == 0)
        if self._used_up(from_buffer):
            return None
        draws = [self._draw(number, iteration, quota) for number, quota in enumerate(quotas) if quota]
        missing = self.plan.batch_size - sum(draw.counted for draw in draws)
        wanted = from_buffer if self.plan.live_only else missing
        supply.build_for(wanted)
        stored = supply.take(wanted, numpy_generator(self.plan.seed, "buffer", iteration))
        missing -= len(stored.rows)
        shortfall = sum(draw.wanted - draw.counted for draw in draws)
        if missing:
            draws += self._make_up(supply, missing, draws)
        self._count_molecules(iteration, draws)
        live = self._penalised([block for draw in draws for block in draw.blocks])
        later, taken = self._later_updates(supply, draws, live)
        taken = [stored, *taken]
        penalised = self._penalised(stored.blocks)
        origin = BatchOrigin(
            built=supply.built,
            live=[draw.build for draw in draws],
            consumed=[replace(part, iteration=iteration) for rows in taken for part in rows.consumed],
            shortfall=shortfall,
            lags=[iteration - drawn_in for rows in taken for drawn_in in rows.drawn_in],
            replayed=None if stored.replayed is None else stored.replayed.learned(penalised),
            bucketed=[] if self.diversity is None else self.diversity.take_new(),
            seconds_waiting=supply.seconds_waiting,
            arrived=arrived,
            followed={} if self.actors is None else self.actors.took(sum(len(rows.rows) for rows in taken)),
        )
        # A run whose oracle calls are spent may have no rows: the empty block then gives the batch its columns.
        blocks = [*live, *penalised] or [stored.block]
        return MixedBatch(join(iteration, blocks), origin, later)

    def _follow_actors(self, supply: Supply, from_buffer: int) -> Sequence[str]:
        if self.actors is None:
            return ()
        replay, live = self.plan.replay, self.plan.batch_size - from_buffer
        later = (replay.updates - 1) * replay.rows_of_update(self.plan.batch_size, live)
        with supply.waiting():
            return self.actors.follow(supply.iteration, of_batch=from_buffer, rows=from_buffer + later)

    def _count_molecules(self, iteration: int, draws: Sequence[LiveDraw]) -> None:
        """Count the rows that are new in the iteration in the diversity memory, in the order of the history."""
        if self.diversity is None:
            return
        if self.actors is not None:
            self.diversity.count(iteration, *self.buffer.arrived())
        else:
            self.diversity.count(iteration, *self.buffer.came_late(iteration))
            self.diversity.count(iteration, *self.buffer.built_at(iteration))
        for draw in in_order(draws):
            if (rows := draw.new_rows) is not None and rows.rows.rewards is not None:
                self.diversity.count(iteration, rows.smiles, rows.rows.rewards)

    def _penalised(self, blocks: Sequence[Block]) -> list[Block]:
        """Return blocks with the penalties and bonuses of the diversity memory at this iteration."""
        if self.diversity is None:
            return list(blocks)
        penalised = []
        for block in blocks:
            assert block.rows.rewards is not None
            smiles, rewards = block.smiles(), block.rows.rewards
            penalties = self.diversity.penalties(smiles, rewards).astype(np.float32)
            added = self.diversity.bonuses(smiles, rewards)
            bonuses = None if added is None else added.astype(np.float32)
            penalised.append(replace(block, rows=replace(block.rows, penalties=penalties, bonuses=bonuses)))
        return penalised

    def _later_updates(
        self, supply: Supply, draws: Sequence[LiveDraw], live: Sequence[Block]
    ) -> tuple[list[TrainingBatch], list[BufferRows]]:
        """Add the live rows of the batch to the buffer, and draw the later updates of the iteration.

        Returns:
            The batch of each update after the first, and the rows that these batches have from the buffer.
        """
        replay = self.plan.replay
        new = [draw.new_rows for draw in in_order(draws) if draw.new_rows is not None]
        if not replay.live_in_updates:
            self.buffer.add(new)
        wanted = replay.rows_of_update(self.plan.batch_size, sum(draw.counted for draw in draws))
        beside = live if replay.live_in_updates else ()
        batches, taken = [], []
        for update in range(1, replay.updates):
            rng = numpy_generator(self.plan.seed, "buffer", supply.iteration, "update", update)
            rows = supply.take(wanted, rng)
            if blocks := [*beside, *self._penalised(rows.blocks)]:
                batches.append(join(supply.iteration, blocks))
                taken.append(rows)
        if replay.live_in_updates:
            self.buffer.add(new)
        return batches, taken

    def _quotas(self, iteration: int) -> list[int]:
        if self.live is None:
            return []
        return batch_quotas(
            self.plan.batch_size, [sampler.size.p_batch_at(iteration) for sampler in self.live.samplers]
        )

    def _used_up(self, rows: int) -> bool:
        """Return whether an offline training has too few rows left for a batch.

        Raises:
            TooFewRowsError: there are too few rows for the first batch.
        """
        if self.live is not None or self.build_buffer is not None or self.buffer.available >= rows:
            return False
        if self.iteration == 0:
            raise TooFewRowsError(
                f"offline training needs batches of {rows} rows and the selection offers {self.buffer.available} of "
                f"{len(self.buffer.index)} stored rows that have a reward under this objective{self._condition()}; run "
                'a campaign with this objective first, score the rows of others (relabel = "cheap" of [offline]), or '
                "lower the batch size (offline.batch_size, by default campaign.batch_size)",
                wanted=rows,
                available=self.buffer.available,
            )
        return True

    def _condition(self) -> str:
        return f" and fulfil {self.buffer.view.where!r}" if self.buffer.view.where else ""

    def _draw(self, number: int, iteration: int, wanted: int, chunk: int = 0) -> LiveDraw:
        assert self.live is not None
        build, recalled = self.live.draw(number, iteration, wanted, chunk)
        if recalled is not None:
            return LiveDraw(number, build, recalled, wanted)
        vocabulary = self.buffer.vocabulary
        # Quotas count kept rows: the rows that train_on_invalid adds are beyond the batch size.
        invalid = invalid_rows(build, vocabulary) if self.plan.train_on_invalid else None
        kept = live_rows(build, vocabulary, self.buffer.view.objective_sha256)
        return LiveDraw(number, build, kept, wanted, invalid)

    def _make_up(self, supply: Supply, missing: int, draws: Sequence[LiveDraw]) -> list[LiveDraw]:
        """Draw the missing rows of a batch from the live samplers, in up to ``REDRAW_ROUNDS`` rounds.

        Samplers that kept as many rows as they were asked for come first, even if some of their scores failed. Then
        come samplers that kept a part of their rows, so that one unlucky rejection does not end a campaign. If the
        budget of oracle calls is spent, the rows stay missing.

        Raises:
            BatchShortError: rows are missing after all rounds, and the budget is not spent.
        """
        extra: list[LiveDraw] = []
        able = [draw for draw in draws if draw.made >= draw.wanted]
        part = [draw for draw in draws if 0 < draw.made < draw.wanted]
        rounds = range(1, 1 + REDRAW_ROUNDS)
        for draw, chunk in ((draw, chunk) for those in (able, part) for chunk in rounds for draw in those):
            if not missing or supply.spent:
                break
            extra.append(self._draw(draw.number, supply.iteration, missing, chunk))
            missing -= extra[-1].counted
        if missing and not supply.spent:
            live = [(draw.build.sampler, draw.counted, draw.wanted) for draw in [*draws, *extra]]
            got = ", ".join(f"{sampler}: {counted} of {wanted}" for sampler, counted, wanted in live)
            raise BatchShortError(
                f"the batch of iteration {supply.iteration} is {missing} rows short of {self.plan.batch_size}: live "
                f"samplers gave {got or 'nothing'}, and the buffer has {self.buffer.available} rows left"
                f"{FAILED_SCORES if able else ''}",
                wanted=self.plan.batch_size,
                available=self.buffer.available,
                live=live,
            )
        return extra
