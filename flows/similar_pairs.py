"""Pairs of similar molecules from a file of molecules: a data set for conditional models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flows.assemble import build_objective
from flows.row_reports import report_rows
from flows.settings import Settings
from samplers.dataset import read_smiles_file
from samplers.errors import SmilesFileError
from samplers.scores import Scorer
from samplers.seeds import numpy_generator
from scoring.neighbours import Indices, SimilarityBounds, SimilarPairs, similar_pairs
from training.corpus import clean_molecules


@dataclass(frozen=True)
class PairSearch:
    """Which pairs of a file's molecules are wanted.

    Attributes:
        bounds: of their similarity.
        per_molecule: the most targets of one source, the most similar ones.
        most_molecules: take so many of the file's molecules, at random with ``seed``; None takes all.
        min_improvement: the least reward of a target less that of its source, under an objective.
    """

    bounds: SimilarityBounds
    per_molecule: int = 10
    most_molecules: int | None = None
    seed: int = 0
    min_improvement: float | None = None


def pairs_of_file(
    path: Path,
    column: str | None,
    search: PairSearch,
    settings: Settings | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> pl.DataFrame:
    """The pairs, one a row: ``source``, ``target``, ``similarity``; with settings also the rewards of both ends.

    Rows of the file that are no molecule are reported and left out. So are molecules without a reward, when one counts.

    Args:
        progress: is told how many of how many molecules have met all others.

    Raises:
        SmilesFileError: the file cannot be read, or holds fewer than two different molecules.
    """
    molecules = clean_molecules(read_smiles_file(path, column))
    report_rows(str(path), molecules.rejected)
    if len(molecules.smiles) < 2:
        raise SmilesFileError(f"{path} has {len(molecules.smiles)} different molecules; a pair needs two")
    smiles = _some(molecules.smiles, search)
    rewards = None if settings is None else Scorer(build_objective(settings)).score(smiles).rewards
    found = similar_pairs(
        smiles,
        search.bounds,
        most=search.per_molecule,
        accepts=_improving(rewards, search.min_improvement),
        progress=lambda done: progress(done, len(smiles)),
    )
    return _frame(smiles, found, rewards)


def _some(smiles: Sequence[str], search: PairSearch) -> list[str]:
    if search.most_molecules is None or len(smiles) <= search.most_molecules:
        return list(smiles)
    chosen = numpy_generator(search.seed, "pairs").choice(len(smiles), search.most_molecules, replace=False)
    return [smiles[i] for i in np.sort(chosen)]


def _improving(
    rewards: NDArray[np.float64] | None, least: float | None
) -> Callable[[Indices, Indices], NDArray[np.bool_]] | None:
    if rewards is None or least is None:
        return None
    # A reward that is not known compares as false: such a pair is left out.
    return lambda first, second: rewards[second] - rewards[first] >= least


def _frame(smiles: Sequence[str], found: SimilarPairs, rewards: NDArray[np.float64] | None) -> pl.DataFrame:
    texts = pl.Series(values=smiles, dtype=pl.String)
    columns = {"source": texts[found.first], "target": texts[found.second], "similarity": pl.Series(found.similarity)}
    if rewards is not None:
        known = pl.Series(values=rewards).fill_nan(None)
        columns |= {"source_reward": known[found.first], "target_reward": known[found.second]}
    return pl.DataFrame(columns)
