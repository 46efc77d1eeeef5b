"""What becomes of the rows that a sampler drew: which are kept, and what refuses the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from molbuffer.samplers.base import Draw
from molbuffer.samplers.builds.scorer import Scorer
from molbuffer.scoring import ContrastiveTemplate, Filter, PairJudgement, Standardisation, judge_many, judge_pairs
from molbuffer.scoring.pairs import IMPROVEMENT
from molbuffer.storage.records import Score

VOCABULARY = "vocabulary"
"""What refuses a molecule that the policy in training cannot express; of a pair, either end."""
DUPLICATE = "duplicate"
"""What refuses a molecule that a build has kept already, where it is to keep each once."""


@dataclass(frozen=True)
class Pipeline:
    """What turns drawn strings into scored samples, the same for every sampler of a campaign.

    Attributes:
        expressible: whether the policy in training can express a string; a row it cannot is rejected.
        seen: which of some canonical SMILES occurred in the run before.
        template: which pairs are kept, and what they are worth; None keeps all, and only their targets have rewards.
        vocabulary_sha256: of that policy: rows in this vocabulary say themselves whether it expresses them. Asked by
            its SMILES, a molecule that was drawn in SELFIES may have tokens that it was not drawn with.
    """

    standardisation: Standardisation
    filters: Sequence[Filter]
    scorer: Scorer
    _: KW_ONLY
    expressible: Callable[[str], bool]
    seen: Callable[[Sequence[str]], set[str]]
    template: ContrastiveTemplate | None = None
    vocabulary_sha256: str | None = None


@dataclass
class BuildScores:
    """The scores of a build's molecules: each is looked up or computed once, however often it is asked for.

    Attributes:
        new: the scores that are still to be committed with the build.
    """

    scorer: Scorer
    new: list[Score] = field(default_factory=list)
    _rewards: dict[str, float] = field(default_factory=dict)

    def rewards(self, molecules: Iterable[str]) -> dict[str, float]:
        """Return the reward of each molecule, and of those asked for before, by canonical SMILES; NaN where it failed."""
        scored = self.scorer.score([text for text in dict.fromkeys(molecules) if text not in self._rewards])
        self.new += scored.new
        self._rewards |= scored.reward_of()
        return self._rewards

    def of(self, molecules: Sequence[str]) -> NDArray[np.float64]:
        """Return the rewards [n] of n molecules, found by their names."""
        rewards = self.rewards(molecules)
        return np.array([rewards[text] for text in molecules], np.float64)


def judge_drawn(drawn: Draw, pipeline: Pipeline, scores: BuildScores) -> list[PairJudgement]:
    """Return the fate of each row; rows that are no pairs have no source.

    A bound on the improvement is asked last, since it has to score both ends of what nothing else refuses.
    """
    if drawn.source_smiles is None:
        targets = judge_many(drawn.raw, pipeline.filters, pipeline.standardisation)
        judged = [PairJudgement(target, None) for target in targets]
        ends: list[tuple[str, ...]] = [(text,) for text in drawn.raw]
    else:
        sources, template = drawn.source_smiles, pipeline.template
        judged = judge_pairs(drawn.raw, sources, pipeline.filters, template, pipeline.standardisation)
        ends = list(zip(drawn.raw, sources, strict=True))
    native = drawn.rows.vocabulary_sha256 == pipeline.vocabulary_sha256
    for row, judgement in enumerate(judged):
        if judgement.target.rejected_by is None and not (
            _has_tokens(drawn, row) if native else all(map(pipeline.expressible, ends[row]))
        ):
            judged[row] = _rejected(judgement, VOCABULARY)
    return _improved(judged, pipeline.template, scores)


def refuse_duplicates(judged: Sequence[PairJudgement], kept: set[str]) -> list[PairJudgement]:
    """Return the fate of rows of which each molecule is kept once; ``kept`` has those of earlier draws, and gets the
    new ones.

    Molecules are compared by their canonical SMILES: the strings of one may differ.
    """
    fates = []
    for judgement in judged:
        smiles = judgement.target.smiles
        if judgement.target.rejected_by is None and smiles is not None:
            if smiles in kept:
                judgement = _rejected(judgement, DUPLICATE)
            kept.add(smiles)
        fates.append(judgement)
    return fates


def _has_tokens(drawn: Draw, row: int) -> bool:
    """Return whether the vocabulary of a row expresses it, and its source."""
    sources = drawn.rows.source_lengths
    return bool(drawn.rows.lengths[row] > 0 and (sources is None or sources[row] > 0))


def _improved(
    judged: list[PairJudgement], template: ContrastiveTemplate | None, scores: BuildScores
) -> list[PairJudgement]:
    if template is None or template.min_improvement is None:
        return judged
    pairs = [
        (row, judgement.source, judgement.target.smiles)
        for row, judgement in enumerate(judged)
        if judgement.target.rejected_by is None and judgement.source is not None and judgement.target.smiles is not None
    ]
    scores.rewards([end for _, *ends in pairs for end in ends])
    enough = template.improves(scores.of([source for _, source, _ in pairs]), scores.of([end for *_, end in pairs]))
    refused = {row for (row, *_), good in zip(pairs, enough, strict=True) if not good}
    return [_rejected(each, IMPROVEMENT) if row in refused else each for row, each in enumerate(judged)]


def _rejected(judgement: PairJudgement, reason: str) -> PairJudgement:
    return replace(judgement, target=replace(judgement.target, rejected_by=reason))
