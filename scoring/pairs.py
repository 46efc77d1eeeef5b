"""Pairs (source, target): the reasons that reject a pair, and the reward of a target relative to its source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray

from molbuffer.kinds import Share, Typed, checked
from molbuffer.scoring.components import LARGEST_RADIUS, FingerprintName
from molbuffer.scoring.errors import ScoringConfigurationError, unknown_name
from molbuffer.scoring.filters import FILTERS, VALIDITY, Filter, Judgement, first_refusal, reason_against
from molbuffer.scoring.identity import check_order, checked_number, sha256_of
from molbuffer.scoring.molecules import (
    Fingerprint,
    NamedMolecule,
    Standardisation,
    count_fingerprint,
    standardise,
    tanimoto,
)
from molbuffer.scoring.objective import Objective
from molbuffer.scoring.workers import map_chunks

SOURCE = "source"
"""The reason that rejects a pair whose source is no molecule; ``source:NAME`` if the filter NAME refuses it, and
``source:length`` if it is too long."""
SIMILARITY = "similarity"
"""The reason that rejects a pair whose similarity is out of bounds."""
IMPROVEMENT = "improvement"
"""The reason that rejects a pair whose target improves too little on its source."""
ROUNDING = 1e-9
"""The tolerance for rounding errors when a difference of two rewards is compared with a bound."""


def _filter_tables() -> Any:
    # Imported here, since the workers that judge pairs do not need pydantic.
    from molbuffer.kinds import KindTable, OneOf

    return tuple[Annotated[KindTable, OneOf(FILTERS)], ...]


@checked
@dataclass(frozen=True)
class ContrastiveTemplate:
    """The bounds that decide which pairs are kept, and the reward of a pair.

    Attributes:
        source_filters: the filters of sources; targets have the filters of the campaign.
        min_similarity: the least similarity of source and target, inclusive, in [0, 1].
        max_similarity: the greatest similarity, inclusive, in [0, 1]. With 1 a target may be its source, or a molecule
            with the same fingerprint.
        fingerprint: the count fingerprint that similarity is computed from.
        radius: the radius of a circular environment in bonds; atom pairs have none.
        min_improvement: the least improvement, the reward of the target less that of the source, inclusive; default:
            any. A pair with an end that could not be scored passes: it has no reward, and no training uses it.
        scaled: the reward of a pair. false: the improvement; true: the improvement divided by the largest possible
            one, so that 1 is the best possible and -1 the worst.
    """

    _: KW_ONLY
    source_filters: Annotated[tuple[Filter, ...], Typed(_filter_tables)] = ()
    min_similarity: Share = 0.0
    max_similarity: Share = 1.0
    fingerprint: Annotated[Fingerprint | str, Typed(FingerprintName)] = "morgan"
    radius: Annotated[int, Ge(0), Le(LARGEST_RADIUS)] = 2
    min_improvement: Annotated[float | None, Typed(Annotated[float, Ge(-1), Le(1)] | None)] = None
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
        """Return the identity of the rewards of pairs: the sha256 of everything that they depend on.

        Filters and bounds have no part in it.
        """
        return sha256_of({"objective": objective.sha256, "pairs": "improvement", "scaled": self.scaled})

    def rewards(self, source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the rewards of n pairs from the rewards [n] in [0, 1] of their ends; NaN where one of these is NaN.

        Returns:
            target − source, in [−1, 1]. If ``scaled``: (target − source) / (1 − source) for a target that is no worse,
            which is 1 for the best possible target; (target − source) / source for a worse one, −1 for the worst; 0
            for a target as good as its source, also where no improvement is possible.
        """
        improvement = target - source
        if not self.scaled:
            return improvement
        room = np.where(improvement >= 0, 1 - source, source)
        scaled: NDArray[np.float64] = np.divide(improvement, room, out=np.zeros_like(improvement), where=room > 0)
        return np.where(np.isnan(improvement), np.nan, scaled)

    def improves(self, source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return the mask [n] of the pairs with at least ``min_improvement``, or with an end without a reward."""
        if self.min_improvement is None:
            return np.ones(len(source), bool)
        # Negated, so that an unknown improvement, NaN, passes.
        return ~(target - source < self.min_improvement - ROUNDING)

    def similarity(self, source: NamedMolecule, target: NamedMolecule) -> float:
        """Return the Tanimoto similarity of the ends, in [0, 1]."""
        kind = Fingerprint(self.fingerprint)
        return tanimoto(*(count_fingerprint(end.molecule, kind, self.radius) for end in (source, target)))


@dataclass(frozen=True)
class PairJudgement:
    """The judgement of a pair before it is scored.

    Attributes:
        target: the judgement of the target; the filters of targets refuse it first, then its source, then the
            similarity.
        source: the canonical SMILES of the source; None if it is no molecule.
        similarity: the similarity of the ends; None if one is no molecule, or there is no template.
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
    """Judge n pairs of strings: the target, then the source, then the similarity; the first refusal counts.

    Args:
        targets: the targets [n].
        sources: the sources [n].
        filters: the filters of targets.
        template: the bounds of pairs; None keeps every pair of two molecules whose target passes the filters.
        standardisation: the standardisation of sources and targets.

    Raises:
        ValueError: the numbers of targets and sources differ.
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
    # Consecutive targets often share a source.
    sources = {text: standardise(text, standardisation) for text in dict.fromkeys(source for _, source in pairs)}
    source_filters = template.source_filters if template else ()
    refusals = {text: _refusal(text, named, source_filters, standardisation) for text, named in sources.items()}
    judged = []
    for text, source_text in pairs:
        target, source = standardise(text, standardisation), sources[source_text]
        refusal = _refusal(text, target, filters, standardisation)
        if refusal is None and (by_source := refusals[source_text]) is not None:
            refusal = SOURCE if by_source == VALIDITY else f"{SOURCE}:{by_source}"
        similarity = None
        if template and target and source:
            similarity = template.similarity(source, target)
            if refusal is None and not template.min_similarity <= similarity <= template.max_similarity:
                refusal = SIMILARITY
        judged.append(PairJudgement(Judgement(_name(target), refusal), _name(source), similarity))
    return judged


def _refusal(
    text: str, named: NamedMolecule | None, filters: Sequence[Filter], standardisation: Standardisation
) -> str | None:
    return reason_against(text, standardisation) if named is None else first_refusal(named, filters)


def _name(named: NamedMolecule | None) -> str | None:
    return None if named is None else named.smiles
