"""Molecules that an earlier release named otherwise: their scores are given to the names that they have now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pyarrow as pa

from molbuffer.scoring import Standardisation, standardise_many
from molbuffer.storage import SampleStore, Score, ScoreStatus

NAMES_AT_ONCE = 100_000
"""The stored names that are looked at together."""


@dataclass(frozen=True)
class RenamedMolecules:
    """What was done for molecules with another name.

    Attributes:
        molecules: the stored names with scores that were looked at.
        renamed: those that are names no longer.
        scores: the scores that were given to new names.
    """

    molecules: int = 0
    renamed: int = 0
    scores: int = 0


def copy_scores_of_renamed(store: SampleStore, standardisation: Standardisation) -> RenamedMolecules:
    """Give each good or failed score of a name that is one no longer to the name that its molecule has now.

    So a molecule that is drawn anew is not scored once more. Rows of the old name stay as they are. To be repeated
    without harm: a name that has the score already is left alone.

    Args:
        store: the store.
        standardisation: of the campaigns whose molecules these are.
    """
    looked, renamed, copied = 0, 0, 0
    for names in _scored_names(store):
        present = standardise_many(names, standardisation)
        new_of = {old: new for old, new in zip(names, present, strict=True) if new is not None and new != old}
        looked, renamed = looked + len(names), renamed + len(new_of)
        copied += _copy(store, new_of)
    return RenamedMolecules(looked, renamed, copied)


def _scored_names(store: SampleStore) -> Iterator[list[str]]:
    last = ""
    while True:
        found = store.read_arrow(
            "SELECT DISTINCT smiles FROM {scores} WHERE status IN ('ok', 'failed') AND smiles > ? ORDER BY 1 LIMIT ?",
            parameters=[last, NAMES_AT_ONCE],
        )["smiles"].to_pylist()
        if not found:
            return
        yield found
        last = found[-1]


def _copy(store: SampleStore, new_of: dict[str, str]) -> int:
    if not new_of:
        return 0
    pairs = store.read_arrow(
        "SELECT DISTINCT component, version FROM {scores} SEMI JOIN old USING (smiles)",
        old=pa.table({"smiles": pa.array(new_of, pa.string())}),
    ).to_pylist()
    copied = 0
    for pair in pairs:
        component, version = pair["component"], pair["version"]
        old = store.find_scores(component, version, sorted(new_of))
        there = store.find_scores(component, version, sorted(new_of.values()))
        # Of several old names of one molecule, the good score counts.
        old_first = sorted(old.values(), key=lambda score: (score.status is not ScoreStatus.OK, score.smiles))
        fresh: dict[str, Score] = {}
        for score in old_first:
            name = new_of[score.smiles]
            if name not in there:
                fresh.setdefault(name, _named(score, name))
        copied += store.record_scores(list(fresh.values())) if fresh else 0
    return copied


def _named(score: Score, name: str) -> Score:
    return replace(score, smiles=name)
