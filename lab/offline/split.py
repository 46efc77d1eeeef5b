"""The validation split of stored rows: whole scaffolds, runs or molecules are held out, chosen by the seed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from molbuffer.lab.errors import ValidationError
from molbuffer.lab.offline.plan import SplitBy, ValidationPlan
from molbuffer.scoring import scaffolds_of
from molbuffer.storage import HistoryIndex


@dataclass(frozen=True)
class Split:
    """An index of rows, split into two parts.

    Attributes:
        whole: all rows.
        learned: the rows that the training learns from.
        held_out: the held-out rows.
    """

    whole: HistoryIndex
    learned: HistoryIndex
    held_out: HistoryIndex


def split_rows(index: HistoryIndex, plan: ValidationPlan, seed: int) -> Split:
    """Split an index so that each group of rows is in one part as a whole.

    Groups are held out in the order of a hash of their name and the seed. A group that would exceed the share is
    skipped, except the first, so that some rows are held out. A resumed run splits the same rows in the same way.

    Raises:
        ValidationError: there are fewer than two groups.
    """
    if not plan.share or not len(index):
        return Split(index, index, index.without(np.arange(len(index))))
    held = _held_out(_groups(index, plan.split), plan, seed)
    return Split(index, index.without(np.flatnonzero(held)), index.without(np.flatnonzero(~held)))


def _groups(index: HistoryIndex, split: SplitBy) -> list[str]:
    """Return the name of the group of each row [n]."""
    if split == "run":
        runs: list[str] = index.builds["run_id"].take(index.build_numbers).to_pylist()
        return runs
    molecules = [text or "" for text in index.smiles(np.arange(len(index)))]
    if split == "random":
        return molecules
    different = [molecule for molecule in dict.fromkeys(molecules) if molecule]
    scaffold_of = dict(zip(different, scaffolds_of(different), strict=True))
    return [scaffold_of.get(molecule, "") for molecule in molecules]


def _held_out(groups: Sequence[str], plan: ValidationPlan, seed: int) -> NDArray[np.bool_]:
    names, of, counts = np.unique(np.array(groups, object).astype(str), return_inverse=True, return_counts=True)
    if len(names) < 2:
        raise ValidationError(
            f"the {len(of)} rows are all of one {'molecule' if plan.split == 'random' else plan.split}, and cannot be "
            f'split by it: set validation to 0, or split to another of "scaffold", "run" and "random"'
        )
    order = sorted(range(len(names)), key=lambda group: hashlib.sha256(f"{seed}:{names[group]}".encode()).digest())
    wanted, taken = plan.share * len(of), int(counts[order[0]])
    held = np.zeros(len(names), bool)
    held[order[0]] = True
    for group in order[1:-1]:
        if taken + counts[group] <= wanted:
            held[group], taken = True, taken + int(counts[group])
    chosen: NDArray[np.bool_] = held[of]
    return chosen
