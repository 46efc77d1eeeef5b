"""Pairs of similar molecules from a file of molecules: a data set for conditional models."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from molbuffer.flows.settings import Settings
from molbuffer.flows.tools.score_file import FileScorer, scoring_run
from molbuffer.samplers import FileRow, SmilesFileError, numpy_generator, read_smiles_file, report_rows
from molbuffer.scoring import Indices, SimilarityBounds, SimilarPairs, parse_smiles, scaffold_of, similar_pairs
from molbuffer.scoring.components import Property, score_many
from molbuffer.storage import SampleStore
from molbuffer.training import clean_molecules


@dataclass(frozen=True)
class PairSearch:
    """The criteria for pairs of a file's molecules.

    Attributes:
        bounds: the bounds of the similarity of a pair.
        per_molecule: the largest number of targets of one source; the most similar ones are kept.
        most_molecules: the number of the file's molecules to use, drawn at random; None uses all.
        seed: the seed of that draw.
        min_improvement: the least improvement, the reward of a target minus that of its source; None is any.
        same_scaffold: require both ends to have the same Bemis-Murcko scaffold.
    """

    bounds: SimilarityBounds
    per_molecule: int = 10
    most_molecules: int | None = None
    seed: int = 0
    min_improvement: float | None = None
    same_scaffold: bool = False


Rewards = Callable[[Sequence[str]], NDArray[np.float64]]
"""A function of molecules [n] to their rewards [n], NaN where unknown."""


def rewards_of_property(name: str) -> Rewards:
    """Return a function that gives the value of a property as the reward.

    Raises:
        ScoringConfigurationError: no property has this name.
    """
    component = Property(name)

    def rewards(smiles: Sequence[str]) -> NDArray[np.float64]:
        values = [score.value for score in score_many(component, smiles)]
        return np.array([np.nan if value is None else value for value in values], np.float64)

    return rewards


def rewards_of_objective(settings: Settings, source: Path, store: Path | None = None) -> Rewards:
    """Return a function that gives the reward under a campaign's objective.

    Args:
        settings: the settings of the campaign.
        source: the file of the molecules.
        store: the folder of a store where scores are looked up, and new ones stored under a run of their own.
    """

    def rewards(smiles: Sequence[str]) -> NDArray[np.float64]:
        rows = [FileRow(number, text) for number, text in enumerate(smiles, 1)]
        if store is None:
            scored = FileScorer.of(settings).score(rows)
        else:
            run_id = uuid.uuid4().hex
            with SampleStore.open_or_create(store) as opened, scoring_run(settings, opened, run_id, source):
                scored = FileScorer.of(settings, opened, run_id).score(rows)
        return scored["reward"].fill_null(np.nan).to_numpy()

    return rewards


def pairs_of_file(
    path: Path,
    column: str | None,
    search: PairSearch,
    rewards: Rewards | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> pl.DataFrame:
    """Return the pairs of a file, with the columns ``source``, ``target`` and ``similarity``.

    With rewards, the columns ``source_reward`` and ``target_reward`` follow. Rows of the file that are no molecule are
    reported and left out. With a least improvement, molecules without a reward are left out, too.

    Args:
        path: the file.
        column: the column of the molecules in a table; None is ``smiles`` or ``canonical_smiles``.
        search: the criteria for pairs.
        rewards: the function for rewards; None leaves them out.
        progress: is called with the number of molecules that were compared with all others, and the number of all.

    Raises:
        SmilesFileError: the file cannot be read, or holds fewer than two different molecules.
    """
    molecules = clean_molecules(read_smiles_file(path, column))
    report_rows(str(path), molecules.rejected)
    if len(molecules.smiles) < 2:
        raise SmilesFileError(path, f"it has {len(molecules.smiles)} different molecules; a pair needs two")
    smiles = _some(molecules.smiles, search)
    values = None if rewards is None else rewards(smiles)
    found = similar_pairs(
        smiles,
        search.bounds,
        most=search.per_molecule,
        accepts=_accepted(smiles, values, search),
        progress=lambda done: progress(done, len(smiles)),
    )
    return _frame(smiles, found, values)


def _some(smiles: Sequence[str], search: PairSearch) -> list[str]:
    if search.most_molecules is None or len(smiles) <= search.most_molecules:
        return list(smiles)
    chosen = numpy_generator(search.seed, "pairs").choice(len(smiles), search.most_molecules, replace=False)
    return [smiles[i] for i in np.sort(chosen)]


def _accepted(
    smiles: Sequence[str], rewards: NDArray[np.float64] | None, search: PairSearch
) -> Callable[[Indices, Indices], NDArray[np.bool_]]:
    scaffolds = _scaffolds(smiles) if search.same_scaffold else np.zeros(len(smiles), np.int64)

    def accepts(first: Indices, second: Indices) -> NDArray[np.bool_]:
        same: NDArray[np.bool_] = scaffolds[first] == scaffolds[second]
        if rewards is None or search.min_improvement is None:
            return same
        # A comparison with an unknown reward is false: such a pair is left out.
        return same & (rewards[second] - rewards[first] >= search.min_improvement)

    return accepts


def _scaffolds(smiles: Sequence[str]) -> NDArray[np.int64]:
    """Return a number for each molecule's scaffold."""
    molecules = (parse_smiles(text) for text in smiles)
    found = ["" if molecule is None else scaffold_of(molecule) for molecule in molecules]
    return np.unique(found, return_inverse=True)[1]


def _frame(smiles: Sequence[str], found: SimilarPairs, rewards: NDArray[np.float64] | None) -> pl.DataFrame:
    texts = pl.Series(values=smiles, dtype=pl.String)
    columns = {"source": texts[found.first], "target": texts[found.second], "similarity": pl.Series(found.similarity)}
    if rewards is not None:
        known = pl.Series(values=rewards).fill_nan(None)
        columns |= {"source_reward": known[found.first], "target_reward": known[found.second]}
    return pl.DataFrame(columns)
