"""Pairs (source, target): what refuses a pair, and what a target is worth beside its source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

import numpy as np
from numpy.typing import NDArray

from molbuffer.scoring.components.similarity import LARGEST_RADIUS
from molbuffer.scoring.errors import ScoringConfigurationError, unknown_name
from molbuffer.scoring.filters import VALIDITY, Filter, Judgement, first_refusal
from molbuffer.scoring.identity import check_order, checked_number, sha256_of
from molbuffer.scoring.molecules.fingerprints import Fingerprint, count_fingerprint, tanimoto
from molbuffer.scoring.molecules.molecules import NamedMolecule, Standardisation, standardise
from molbuffer.scoring.objective import Objective
from molbuffer.scoring.workers.pool import map_chunks

SOURCE = "source"
"""What a pair is rejected by whose source is no molecule; ``source:NAME`` where the filter NAME refuses it."""
SIMILARITY = "similarity"
"""What a pair is rejected by whose ends are too much alike, or too little."""
IMPROVEMENT = "improvement"
"""What a pair is rejected by whose target is not enough better than its source."""
ROUNDING = 1e-9
"""By how much a difference of two rewards may miss a bound that it equals in decimal numbers."""


@dataclass(frozen=True)
class ContrastiveTemplate:
    """Which pairs are kept, and what they are worth.

    Attributes:
        source_filters: what refuses a source; targets have the campaign's filters.
        min_similarity, max_similarity: of the two ends, both inclusive, in [0, 1]. With a maximum of 1 a target may
            be its source, or what the fingerprint does not tell from it.
        fingerprint, radius: what similarity is of, as of ``molbuffer.scoring.components.Similarity``.
        min_improvement: the least reward of the target less that of its source, inclusive; None asks for none. A pair
            with an end that could not be scored is not refused by it: it has no reward, and nothing learns from it.
        scaled: divide the improvement by the room that it had.
    """

    _: KW_ONLY
    source_filters: tuple[Filter, ...] = ()
    min_similarity: float = 0.0
    max_similarity: float = 1.0
    fingerprint: Fingerprint | str = Fingerprint.MORGAN
    radius: int = 2
    min_improvement: float | None = None
    scaled: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "source_filters", tuple(self.source_filters))
        for name in ("min_similarity", "max_similarity"):
            value = checked_number(name, getattr(self, name))
            if not 0 <= value <= 1:
                raise ScoringConfigurationError(f"{name} must be in [0, 1], got {value:g}")
        check_order("min_similarity", self.min_similarity, "max_similarity", self.max_similarity, strict=False)
        if self.fingerprint not in tuple(Fingerprint):
            raise unknown_name("fingerprint", str(self.fingerprint), Fingerprint)
        object.__setattr__(self, "fingerprint", Fingerprint(self.fingerprint))
        if not 0 <= self.radius <= LARGEST_RADIUS:
            raise ScoringConfigurationError(f"radius must be from 0 to {LARGEST_RADIUS}, got {self.radius}")
        if self.min_improvement is not None and not -1 <= checked_number("min_improvement", self.min_improvement) <= 1:
            raise ScoringConfigurationError(f"min_improvement must be in [-1, 1], got {self.min_improvement:g}")

    def objective_sha256(self, objective: Objective) -> str:
        """Return the identity of the rewards of pairs: of all that decides the reward of a given pair, and not of
        filters.
        """
        return sha256_of({"objective": objective.sha256, "pairs": "improvement", "scaled": self.scaled})

    def rewards(self, source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
        """What pairs are worth, by the rewards [n] in [0, 1] of their ends; NaN where one of these is.

        Returns:
            target − source, in [−1, 1]. Where ``scaled``: (target − source) / (1 − source) for a target that is no
            worse, which is 1 for the best there can be; (target − source) / source for one that is worse, −1 for the
            worst; 0 for a target as good as its source, also where that leaves no room.
        """
        improvement = target - source
        if not self.scaled:
            return improvement
        room = np.where(improvement >= 0, 1 - source, source)
        scaled: NDArray[np.float64] = np.divide(improvement, room, out=np.zeros_like(improvement), where=room > 0)
        return np.where(np.isnan(improvement), np.nan, scaled)

    def improves(self, source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which pairs [n] ``min_improvement`` does not refuse."""
        if self.min_improvement is None:
            return np.ones(len(source), bool)
        # Written so that an improvement that is not known is not refused.
        return ~(target - source < self.min_improvement - ROUNDING)

    def similarity(self, source: NamedMolecule, target: NamedMolecule) -> float:
        """How much the ends are alike, in [0, 1]."""
        kind = Fingerprint(self.fingerprint)
        return tanimoto(*(count_fingerprint(end.molecule, kind, self.radius) for end in (source, target)))


@dataclass(frozen=True)
class PairJudgement:
    """What became of a pair, before anything is scored.

    Attributes:
        target: of the target alone, by the campaign's filters, then by the source and the similarity.
        source: its canonical SMILES, None where it is no molecule.
        similarity: of the ends; None where one is no molecule, or nobody asks for it.
    """

    target: Judgement
    source: str | None
    similarity: float | None = None


def judge_pairs(
    targets: Sequence[str],
    sources: Sequence[str],
    filters: Sequence[Filter],
    template: ContrastiveTemplate | None = None,
    standardisation: Standardisation = Standardisation(),
) -> list[PairJudgement]:
    """Judge n pairs of strings: the target, then the source, then how much they are alike; the first refusal counts.

    Args:
        filters: of targets.
        template: None keeps every pair of two molecules whose target passes.
    """
    if len(targets) != len(sources):
        raise ValueError(f"expected a source for each target, got {len(sources)} for {len(targets)}")
    pairs = list(zip(targets, sources, strict=True))
    return map_chunks(_judge_chunk, pairs, tuple(filters), template, standardisation)


def _judge_chunk(
    pairs: Sequence[tuple[str, str]],
    filters: Sequence[Filter],
    template: ContrastiveTemplate | None,
    standardisation: Standardisation,
) -> list[PairJudgement]:
    # Several targets in a row have one source.
    sources = {text: standardise(text, standardisation) for text in dict.fromkeys(source for _, source in pairs)}
    source_filters = template.source_filters if template else ()
    refusals = {text: first_refusal(named, source_filters) for text, named in sources.items()}
    judged = []
    for text, source_text in pairs:
        target, source = standardise(text, standardisation), sources[source_text]
        refusal = first_refusal(target, filters)
        if refusal is None and (by_source := refusals[source_text]) is not None:
            refusal = SOURCE if by_source == VALIDITY else f"{SOURCE}:{by_source}"
        similarity = None
        if template and target and source:
            similarity = template.similarity(source, target)
            if refusal is None and not template.min_similarity <= similarity <= template.max_similarity:
                refusal = SIMILARITY
        judged.append(PairJudgement(Judgement(_name(target), refusal), _name(source), similarity))
    return judged


def _name(named: NamedMolecule | None) -> str | None:
    return None if named is None else named.smiles
