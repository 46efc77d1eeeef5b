"""Molecules to which an earlier release gave other names: their scores are copied to their present names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pyarrow as pa

from molbuffer.scoring import Standardisation, standardise_many
from molbuffer.storage import SampleStore, Score, ScoreStatus

NAMES_AT_ONCE = 100_000
"""The number of stored names that are read at once."""


@dataclass(frozen=True)
class RenamedMolecules:
    """The numbers of renamed molecules and copied scores.

    Attributes:
        molecules: the number of stored names with scores.
        renamed: the number of these names that standardisation no longer gives.
        scores: the number of scores that were copied to new names.
    """

    molecules: int = 0
    renamed: int = 0
    scores: int = 0


def copy_scores_of_renamed(store: SampleStore, standardisation: Standardisation) -> RenamedMolecules:
    """Copy each good or failed score of an outdated name to the present name of its molecule.

    So a molecule that is drawn again is not scored again. Rows with the old name stay as they are. The function can be
    called repeatedly: a name that already has the score is skipped.

    Args:
        store: the store.
        standardisation: the standardisation of the campaigns in the store.
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
        # If several old names belong to one molecule, a good score is preferred to a failed one.
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
