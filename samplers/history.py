"""HistorySampler: draws stored rows with all their stored columns.

The rows are never stored as new samples. In a training batch they join the rows that are drawn live, and the build of
the batch refers to them. The buffer has them already, so that the sampler makes no builds of the buffer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from itertools import islice
from typing import ClassVar

import numpy as np

from molbuffer.kinds import checked
from molbuffer.samplers.base import Draw, Recall, Sampler, SamplerSize
from molbuffer.samplers.replay import expressible, stored_rows
from molbuffer.samplers.seeds import numpy_generator
from molbuffer.samplers.tokens import Vocabulary
from molbuffer.storage import (
    Build,
    Event,
    HistoryIndex,
    IndexScope,
    Positions,
    RowId,
    SampleStore,
    Selection,
    Uniform,
    chosen_rows,
    weights_of,
)


@checked
@dataclass(frozen=True)
class HistorySampler(Sampler):
    """Draws stored rows with a good reward under the campaign's objective.

    Attributes:
        history: a function that returns the rows to draw from at the time of a draw, all expressible in the vocabulary.
        vocabulary: the vocabulary of the policy in training; rows of another vocabulary are encoded again, with NaN as
            log-probabilities.
        selection: the selection that chooses the rows of a draw; no row counts as consumed before.

    Example:
        >>> with lab.run("example", objective=objective, seed=0) as run:
        ...     receipts = run.build(mb.ModelSampler("agent", run.agent), n=8)
        ...     best = mb.HistorySampler("best", run.stored_rows(), run.vocabulary, selection=mb.TopK(3))
        ...     len(best.draw(8, seed=0))
        3
    """

    name: str
    history: Callable[[], HistoryIndex]
    vocabulary: Vocabulary
    _: KW_ONLY
    selection: Selection = Uniform()
    size: SamplerSize = SamplerSize()
    kind: ClassVar[str] = "history"

    def draw(self, n: int, seed: int) -> Draw:
        """Draw up to n different rows, fewer when the history has fewer."""
        index, positions = self._choose(n, seed)
        return self._drawn(index, positions, index.row_ids(positions))

    def recall(self, n: int, seed: int) -> Recall:
        """Draw the rows of ``draw`` with their identities and canonical SMILES, which are read from the store."""
        index, positions = self._choose(n, seed)
        smiles = [text or "" for text in index.read("smiles", positions)]
        ids, drawn_in = index.row_ids(positions), index.own_iterations(positions)
        return Recall(self._drawn(index, positions, ids), smiles, ids, drawn_in)

    def _choose(self, n: int, seed: int) -> tuple[HistoryIndex, Positions]:
        index = self.history()
        return index, chosen_rows(self.selection, index, n, numpy_generator(seed), np.zeros(len(index), np.int32))

    def _drawn(self, index: HistoryIndex, positions: Positions, ids: Sequence[RowId]) -> Draw:
        rows = stored_rows(index, positions, self.vocabulary)
        if (weights := weights_of(self.selection, index, positions)) is not None:
            rows = replace(rows, weights=weights.astype(np.float32))
        drawn = Draw(self.vocabulary.decode(rows.tokens, rows.lengths), rows, stored=ids)
        if rows.source_tokens is None or rows.source_lengths is None:
            return drawn
        # A row that is no pair has a source of length 0.
        builds, numbers = (index.read(column, positions) for column in ("source_build_id", "source_row"))
        sources = [
            None if build_id is None or row is None else RowId(build_id, int(row))
            for build_id, row in zip(builds, numbers, strict=True)
        ]
        smiles = self.vocabulary.decode(rows.source_tokens, rows.source_lengths)
        return replace(drawn, source_smiles=smiles, source_rows=sources)


@dataclass
class RunHistory:
    """The stored rows that a run may draw from: its own before an iteration, and those of other runs at a snapshot.

    Attributes:
        store: the store of the rows.
        run_id: the run that draws.
        objective_sha256: the objective whose rewards count.
        vocabulary: the vocabulary of the policy in training.
        settled: a function that returns the iteration before which all rows of the run are committed. Of the run's own
            rows, only those are drawn, so that a resumed run draws from the same rows.
        foreign_snapshot: the snapshot at which rows of other runs are read.
        runs: the runs whose rows are drawn; None for all runs.
        where: a predicate over ``sample_history`` that the rows must fulfil, too.
        unsettled: a function that returns the live builds of the iterations since ``settled``, which are not committed;
            None if there was no such iteration.
    """

    store: SampleStore
    run_id: str
    _: KW_ONLY
    objective_sha256: str
    vocabulary: Vocabulary
    settled: Callable[[], int]
    foreign_snapshot: int | None = None
    runs: tuple[str, ...] | None = None
    where: str | None = None
    unsettled: Callable[[], Sequence[Build] | None] = lambda: None
    _index: HistoryIndex | None = field(default=None, init=False)
    _last_iteration: int = field(default=-1, init=False)
    _built: tuple[int, bool] = field(default=(-1, False), init=False)

    def __call__(self) -> HistoryIndex:
        """Return the rows; they are read again only after more iterations are committed."""
        return self._up_to(self.settled() - 1 if self._own else -1)

    def best_molecules(self, n: int) -> dict[str, float]:
        """Return the n different molecules with the best rewards, as rewards by canonical SMILES, the best first.

        They are chosen from the rows of all iterations before the present one, committed or not. Of equal rewards, the
        earlier row in row order is the better one, so that a resumed run has the same molecules. With a predicate, only
        committed rows are used.
        """
        settled = self.settled() if self._own else 0
        builds = self.unsettled() if self._own else None
        # A build of the buffer at the iteration of the checkpoint is committed after the checkpoint: it is included
        # from the next iteration on.
        index = self._up_to(settled - 1 if builds is None or not self._built_at(settled) else settled)
        positions = index.best_of_each_molecule[:n]
        smiles, rewards, own = index.smiles(positions), index.rewards[positions], index.own[positions]
        found = list(zip(smiles, rewards.tolist(), strict=True))
        live = [] if builds is None or self.where is not None else _rewarded(builds, self.objective_sha256)
        # In the history's order, which the stable sort keeps for equal rewards.
        ordered = [
            *(each for each, is_own in zip(found, own, strict=True) if is_own),
            *live,
            *(each for each, is_own in zip(found, own, strict=True) if not is_own),
        ]
        best: dict[str, float] = {}
        for text, reward in sorted(ordered, key=lambda each: -each[1]):
            if text is not None:
                best.setdefault(text, reward)
        return dict(islice(best.items(), n))

    @property
    def _own(self) -> bool:
        return self.runs is None or self.run_id in self.runs

    def _built_at(self, iteration: int) -> bool:
        """Return whether the run made a build of the buffer in a past iteration."""
        if self._built[0] != iteration:
            receipts = self.store.receipts(self.run_id, iteration=iteration, event=Event.BUILD_BUFFER)
            self._built = iteration, bool(receipts)
        return self._built[1]

    def _up_to(self, last_iteration: int) -> HistoryIndex:
        if self._index is None or last_iteration != self._last_iteration:
            index = self.store.index(
                IndexScope(
                    objective_sha256=self.objective_sha256,
                    run_id=self.run_id,
                    foreign_snapshot=self.foreign_snapshot,
                    runs=self.runs,
                    where=self.where,
                    up_to_iteration=last_iteration,
                )
            )
            self._index, self._last_iteration = expressible(index, self.vocabulary), last_iteration
        return self._index


def _rewarded(builds: Sequence[Build], objective_sha256: str) -> list[tuple[str | None, float]]:
    """Return the canonical SMILES and the reward of each kept row that has one, in the history's order."""
    return [
        (build.samples.smiles[reward.row], reward.value)
        for build in sorted(builds, key=lambda build: (build.iteration, build.sampler_order, build.chunk))
        for reward in sorted(build.rewards, key=lambda reward: reward.row)
        if reward.objective_sha256 == objective_sha256
        and reward.value is not None
        and build.samples.rejected_by[reward.row] is None
    ]
