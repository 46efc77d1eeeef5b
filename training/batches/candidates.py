"""The rows that a batch is selected from: stored rows, and live rows that the index of the snapshot does not have.

Their order is that of the history (R7): the stored rows of the run, its live rows, then the rows of other runs. A
resumed run reads its earlier rows from the store, and has the same rows at the same positions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molbuffer.samplers import Vocabulary, stored_rows
from molbuffer.storage import Build, HistoryIndex, Positions, RowId, Rows
from molbuffer.training.batches.batch import NumberedRows
from molbuffer.training.batches.ranking import IndexRanking, best_of_each, joint_ranking


@dataclass(frozen=True, eq=False)
class LiveRows:
    """The rows of one live build that can be trained on, in the vocabulary of the policy in training.

    Attributes:
        build_id: the identity of the build.
        iteration: the iteration that it was drawn in.
        sampler: the name of its sampler.
        latent_sha256: the sha256 of the latent prior or latent vectors that it was drawn from; None without latents.
        numbers: the places of the rows in the build, ascending, int32 [n].
        rows: the rows with their rewards [n].
        smiles: their canonical SMILES [n], None for a string that is not a molecule.
    """

    build_id: str
    iteration: int
    sampler: str
    latent_sha256: str | None
    numbers: NDArray[np.int32]
    rows: Rows
    smiles: Sequence[str | None]

    @classmethod
    def of(cls, build: Build, parts: Sequence[NumberedRows]) -> LiveRows:
        """Return the rows of several parts of a build, in the order of the build."""
        numbers = np.concatenate([part.numbers for part in parts])
        order = np.argsort(numbers, kind="stable")
        numbers, rows = numbers[order], Rows.concat([part.rows for part in parts]).take(order)
        smiles = NumberedRows(numbers, rows).smiles(build)
        return cls(
            build_id=build.build_id,
            iteration=build.iteration,
            sampler=build.sampler,
            latent_sha256=build.latent_sha256,
            numbers=numbers,
            rows=rows,
            smiles=smiles,
        )

    def __len__(self) -> int:
        return len(self.numbers)

    def places_of(self, numbers: Sequence[int]) -> Positions:
        """Return the positions in this record of rows of the build; rows that it does not have are left out.

        Args:
            numbers: the places of the rows in the build.
        """
        places: Positions = np.searchsorted(self.numbers, numbers)
        found: Positions = places[self.numbers.take(places, mode="clip") == np.asarray(numbers)]
        return found


@dataclass(eq=False)
class Candidates:
    """The rows of an index and live rows, n in all, from which a selection chooses.

    Attributes:
        index: the stored rows.
        live: the live rows that the index does not have, by build, in the order of the history.
        iteration: the iteration that rows are selected for.
        ranking: the order of the rows of the index by reward; candidates with the same index share it.
    """

    index: HistoryIndex
    live: tuple[LiveRows, ...] = ()
    iteration: int = 0
    ranking: IndexRanking = field(default=None)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        self.ranking = self.ranking or IndexRanking(self.index)

    def __len__(self) -> int:
        return len(self.index) + self.ends[-1]

    def followed_by(self, live: Sequence[LiveRows]) -> Candidates:
        """Return candidates with more live rows, after the present ones."""
        return Candidates(self.index, (*self.live, *live), self.iteration, self.ranking)

    @cached_property
    def ends(self) -> list[int]:
        """The end of each live build among all live rows (exclusive), preceded by 0: length = live builds + 1."""
        return [0, *np.cumsum([len(each) for each in self.live]).tolist()]

    @cached_property
    def rewards(self) -> NDArray[np.float64]:
        """The rewards under the objective, float64 [n]."""
        return self._joined(self.index.rewards, [_rewards(each) for each in self.live])

    @cached_property
    def iterations(self) -> NDArray[np.integer]:
        """The iterations that drew the rows [n]."""
        return self._joined(self.index.iterations, [np.full(len(each), each.iteration) for each in self.live])

    @cached_property
    def run_numbers(self) -> NDArray[np.integer]:
        """A number for each row [n]; two rows have the same number if and only if one run drew them."""
        of_index, own = self.index.run_numbers, self.ranking.own_rows
        number = of_index[0] if own else of_index.max(initial=-1) + 1
        return self._joined(of_index, [np.full(self.ends[-1], number)])

    @cached_property
    def own(self) -> NDArray[np.bool_]:
        """Whether the run in training drew the row, bool [n]."""
        return self._joined(self.index.own, [np.ones(self.ends[-1], bool)])

    @cached_property
    def molecules(self) -> NDArray[np.uint64]:
        """A hash of the molecule of each row, uint64 [n]."""
        return self._joined(self.index.molecules, [self._live_molecules])

    @cached_property
    def best_first(self) -> Positions:
        """All positions by descending reward, int64 [n]; of rows with equal rewards, the earlier comes first."""
        if not self.live:
            return self.index.best_first
        return joint_ranking(self.ranking, self.rewards)

    @cached_property
    def best_of_each_molecule(self) -> Positions:
        """The best position of each distinct molecule, int64 [m], by descending reward."""
        if not self.live:
            return self.index.best_of_each_molecule
        return best_of_each(self.ranking, self.rewards, self._live_molecules, self.best_first)

    def smiles(self, positions: Positions) -> list[str | None]:
        """Return the canonical SMILES of some rows. The first call reads the SMILES of all stored rows."""
        found: list[str | None] = [None] * len(positions)
        for places, of_index, live in self._parts(positions):
            texts = self.index.smiles(of_index) if live is None else [live.smiles[row] for row in of_index.tolist()]
            for place, text in zip(places.tolist(), texts, strict=True):
                found[place] = text
        return found

    def matching(self, where: str) -> NDArray[np.bool_]:
        """Return which rows fulfil a predicate over ``sample_history``, bool [n]; live rows, not in it yet, do not."""
        return self._joined(self.index.matching(where), [np.zeros(self.ends[-1], bool)])

    def read(self, positions: Positions, vocabulary: Vocabulary) -> Rows:
        """Return rows [m] with their rewards, in a vocabulary that can express them."""
        parts = [
            (places, stored_rows(self.index, rows, vocabulary) if live is None else live.rows.take(rows))
            for places, rows, live in self._parts(positions)
        ]
        if len(parts) == 1:
            return parts[0][1].trimmed()
        rows = Rows.placed(len(positions), parts) if parts else stored_rows(self.index, positions, vocabulary)
        return replace(rows.trimmed(), vocabulary_sha256=vocabulary.sha256)

    def row_ids(self, positions: Positions) -> list[RowId]:
        """Return the identities of rows."""
        found: list[RowId | None] = [None] * len(positions)
        for places, rows, live in self._parts(positions):
            ids = (
                self.index.row_ids(rows)
                if live is None
                else [RowId(live.build_id, number) for number in live.numbers[rows].tolist()]
            )
            for place, row_id in zip(places.tolist(), ids, strict=True):
                found[place] = row_id
        return [row_id for row_id in found if row_id is not None]

    def own_iterations(self, positions: Positions) -> list[int]:
        """Return the iterations in which the run drew its own rows among some rows."""
        iterations: list[int] = self.iterations[positions[self.own[positions]]].tolist()
        return iterations

    def latents_of(self, positions: Positions) -> list[tuple[str, str | None]]:
        """Return the sampler of each row, and the sha256 of the latents that it drew from; None without latents."""
        found: list[tuple[str, str | None]] = [("", None)] * len(positions)
        for places, rows, live in self._parts(positions):
            if live is None:
                builds = self.index.builds.select(["sampler", "latent_sha256"]).take(self.index.build_numbers[rows])
                named = [(each["sampler"], each["latent_sha256"]) for each in builds.to_pylist()]
            else:
                named = [(live.sampler, live.latent_sha256)] * len(rows)
            for place, each in zip(places.tolist(), named, strict=True):
                found[place] = each
        return found

    @cached_property
    def _live_molecules(self) -> NDArray[np.uint64]:
        return self.index.hashes_of([text for each in self.live for text in each.smiles])

    def _joined(self, of_index: NDArray[Any], of_live: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """Return a column of all rows, joined from the column of the index and the columns of the live builds."""
        if not self.live:
            return of_index
        own = self.ranking.own_rows
        return np.concatenate([of_index[:own], *(each.astype(of_index.dtype) for each in of_live), of_index[own:]])

    def _parts(self, positions: Positions) -> Iterator[tuple[NDArray[np.int64], Positions, LiveRows | None]]:
        """Split positions by source: the index, then each live build.

        Yields:
            The places in ``positions`` of the rows of a source, the positions of these rows in the source, and the
            live build; None for the index.
        """
        own, live = self.ranking.own_rows, self.ends[-1]
        among_live = (positions >= own) & (positions < own + live)
        if len(places := np.flatnonzero(~among_live)):
            stored = positions[places]
            yield places, np.where(stored < own, stored, stored - live), None
        builds = np.searchsorted(self.ends, positions - own, side="right") - 1
        for build in np.unique(builds[among_live]).tolist():
            places = np.flatnonzero(among_live & (builds == build))
            yield places, positions[places] - own - self.ends[build], self.live[build]


def _rewards(live: LiveRows) -> NDArray[np.float64]:
    assert live.rows.rewards is not None
    return live.rows.rewards
