"""Judging the rows of a draw: which are kept, and the reason why the others are rejected."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from molbuffer.kinds import calling, shown, wrong_result
from molbuffer.samplers.base import Draw
from molbuffer.samplers.builds.oracle_calls import BUDGET, OracleCalls
from molbuffer.samplers.builds.screening import BuildPlace, Screener
from molbuffer.samplers.scores import ScoredMolecules, Scorer
from molbuffer.scoring import (
    CHOICE,
    IMPROVEMENT,
    SCREENING,
    Choice,
    ContrastiveTemplate,
    Filter,
    PairJudgement,
    Standardisation,
    judge_many,
    judge_pairs,
)
from molbuffer.storage import Score, ScreenedRow

VOCABULARY = "vocabulary"
"""The reason that rejects a molecule, or a pair, if the policy in training cannot express it."""
DUPLICATE = "duplicate"
"""The reason that rejects a repeated molecule, if the build or the run keeps each molecule only once."""
TAKEN_NAMES = (BUDGET, CHOICE, IMPROVEMENT, SCREENING)
"""The reasons by which a run itself rejects rows; no filter may have such a name."""


@dataclass(frozen=True)
class Pipeline:
    """The steps from drawn strings to scored samples, the same for every sampler of a campaign.

    Attributes:
        standardisation: the standardisation of drawn strings.
        filters: the filters in order; the first filter that refuses a molecule rejects it.
        scorer: the scorer that gives the rewards.
        expressible: a function that returns whether the policy in training can express a string; rows that it cannot
            express are rejected.
        seen: a function of canonical SMILES that returns those that occurred in the run before.
        template: the bounds of pairs and their rewards; None keeps all pairs and rewards only the targets.
        vocabulary_sha256: the vocabulary of the policy in training. Rows in this vocabulary are expressible if they
            have tokens; ``expressible`` is not called for them, since the SMILES of a row that was drawn in SELFIES may
            need tokens that it was not drawn with.
        calls: the oracle calls of the run, which reject rows beyond the budget; None counts and rejects nothing.
        stage: the number of the run's stage, which is recorded in its builds; None without stages.
        choice: the choice of the molecules to score, from more candidates than are wanted; None draws no more rows.
        screener: the screener that chooses molecules by a model of the known scores; None without one. It excludes a
            choice.
        approximate: whether other processes draw for the run at the same time, so that ``seen`` lacks some molecules.

    Raises:
        ValueError: a filter has one of ``TAKEN_NAMES``; there are both a choice and a screener; or pairs are rejected
            by scores that only the backlog computes.
    """

    standardisation: Standardisation
    filters: Sequence[Filter]
    scorer: Scorer
    _: KW_ONLY
    expressible: Callable[[str], bool]
    seen: Callable[[Sequence[str]], set[str]]
    template: ContrastiveTemplate | None = None
    vocabulary_sha256: str | None = None
    calls: OracleCalls | None = None
    stage: int | None = None
    choice: Choice | None = None
    screener: Screener | None = None
    approximate: bool = False

    def __post_init__(self) -> None:
        if taken := [each.name for each in self.filters if each.name in TAKEN_NAMES]:
            raise ValueError(
                f"a filter cannot have the name {taken[0]!r}, which is a reason for which a run itself rejects rows"
            )
        if self.choice is not None and self.screener is not None:
            raise ValueError("molecules are chosen by a choice, or by screening, and not by both")
        improving = self.template is not None and self.template.min_improvement is not None
        if improving and self.scorer.computes == "inline":
            raise ValueError(
                "min_improvement rejects pairs by scores that the backlog has only later: leave it out, or have all "
                'components score with the mode "inline"'
            )


@dataclass
class BuildScores:
    """The scores of a build's molecules, each of which is looked up or computed only once.

    Attributes:
        scorer: the scorer, which looks scores up and computes them.
        new: the scores to commit with the build.
    """

    scorer: Scorer
    new: list[Score] = field(default_factory=list)
    _rewards: dict[str, float] = field(default_factory=dict)
    _scored: list[ScoredMolecules] = field(default_factory=list)
    _pending: set[str] = field(default_factory=set)

    def rewards(self, molecules: Iterable[str]) -> dict[str, float]:
        """Return the rewards of these molecules and of all earlier ones, by canonical SMILES.

        A reward is NaN if a score failed or is pending.
        """
        scored = self.scorer.score([text for text in dict.fromkeys(molecules) if text not in self._rewards])
        self.new += scored.new
        self._scored.append(scored)
        if self.scorer.computes == "inline":
            self._pending |= scored.pending()
        self._rewards |= scored.reward_of()
        return self._rewards

    def are_pending(self, *molecules: str) -> bool:
        """Return whether the reward of a row of these molecules is pending: some are pending, and none has failed."""
        decided = (math.isnan(self._rewards[text]) for text in molecules if text not in self._pending)
        return not self._pending.isdisjoint(molecules) and not any(decided)

    def raw_values(self, molecules: Sequence[str]) -> dict[str, dict[str, float]]:
        """Return the raw values of molecules whose rewards were computed before, by component and canonical SMILES."""
        names = [each.component.name for each in self.scorer.objective.components]
        found: dict[str, dict[str, float]] = {}
        for name in names:
            known: dict[str, float] = {}
            for part in self._scored:
                known.update(zip(part.smiles, part.values[name].tolist(), strict=True))
            found[name] = {text: known[text] for text in dict.fromkeys(molecules)}
        return found

    def of(self, molecules: Sequence[str]) -> NDArray[np.float64]:
        """Return the rewards [n] of n canonical SMILES."""
        rewards = self.rewards(molecules)
        return np.array([rewards[text] for text in molecules], np.float64)


def filter_rows(drawn: Draw, pipeline: Pipeline) -> list[PairJudgement]:
    """Judge each row of a draw by standardisation, filters and vocabulary; rows that are no pairs have no source."""
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
    return judged


def pay_for_rows(judged: list[PairJudgement], pipeline: Pipeline, scores: BuildScores) -> list[PairJudgement]:
    """Reject the rows beyond the budget of oracle calls, then the pairs that improve too little.

    The bound on the improvement comes last, since it scores both ends of all pairs that are not rejected otherwise.
    """
    return _improved(_within_budget(judged, pipeline), pipeline.template, scores)


def refuse_duplicates(
    judged: Sequence[PairJudgement], kept: set[str], seen: Callable[[Sequence[str]], set[str]] | None = None
) -> list[PairJudgement]:
    """Reject the rows whose molecule has been kept already.

    Molecules are compared by their canonical SMILES, since the strings of one molecule may differ.

    Args:
        judged: the judgements of the rows of one draw.
        kept: the canonical SMILES kept in earlier draws; those of this draw are added.
        seen: a function of canonical SMILES that returns those that the run has drawn before, which are rejected, too;
            None does not reject them.
    """
    fates = []
    if seen is not None:
        candidates = [each.target.smiles for each in judged if each.target.rejected_by is None]
        kept |= seen([smiles for smiles in candidates if smiles is not None])
    for judgement in judged:
        smiles = judgement.target.smiles
        if judgement.target.rejected_by is None and smiles is not None:
            if smiles in kept:
                judgement = _rejected(judgement, DUPLICATE)
            kept.add(smiles)
        fates.append(judgement)
    return fates


def refuse_unchosen(judged: Sequence[PairJudgement], wanted: int, choice: Choice, seed: int) -> list[PairJudgement]:
    """Reject the rows whose molecule a choice does not choose, and repetitions of the chosen molecules.

    Args:
        judged: the judgements of the rows of one draw.
        wanted: the number of rows to keep.
        choice: the choice among the different molecules of the rows that are not rejected yet.
        seed: the seed of the choice.
    """
    first = _first_rows(judged)
    chosen = _chosen(choice, list(first), wanted, seed)
    kept = {first[smiles] for smiles in chosen}
    return [
        each if row in kept or each.target.rejected_by is not None else _rejected(each, CHOICE)
        for row, each in enumerate(judged)
    ]


def refuse_screened(
    judged: Sequence[PairJudgement], wanted: int, screener: Screener, place: BuildPlace, seed: int
) -> tuple[list[PairJudgement], list[ScreenedRow | None]]:
    """Reject the rows whose molecule a screener does not pick, and repetitions of molecules.

    Args:
        judged: the judgements of the rows of one draw.
        wanted: the number of rows to keep.
        screener: the screener, which picks among the different molecules of the rows that are not rejected yet.
        place: the place of the build.
        seed: the seed of the random picks.

    Returns:
        The judgements, and the result of screening for each row; None for a row that was not screened.
    """
    first = _first_rows(judged)
    said = screener.screen(list(first), wanted, place, seed)
    fates, rows = list(judged), list[ScreenedRow | None]([None] * len(judged))
    for row, each in enumerate(judged):
        if each.target.rejected_by is not None or each.target.smiles is None:
            continue
        if row != first[each.target.smiles]:
            fates[row] = _rejected(each, DUPLICATE)
            continue
        rows[row] = screened = said.get(each.target.smiles)
        if screened is None or screened.picked_by is None:
            fates[row] = _rejected(each, SCREENING)
    return fates, rows


def _first_rows(judged: Sequence[PairJudgement]) -> dict[str, int]:
    """Return the first row of each molecule among the rows that are not rejected yet."""
    first: dict[str, int] = {}
    for row, each in enumerate(judged):
        if each.target.rejected_by is None and each.target.smiles is not None:
            first.setdefault(each.target.smiles, row)
    return first


def _chosen(choice: Choice, smiles: list[str], wanted: int, seed: int) -> list[str]:
    """Return the molecules that a choice chooses.

    Raises:
        PluginError: the choice does not return the wanted number of different indices of molecules.
    """
    with calling("choice", choice, f"to choose {wanted} of {len(smiles)} molecules"):
        indices = choice.choose(smiles, wanted, seed)
    found = np.asarray(indices)
    expected = min(wanted, len(smiles))
    whole = found.ndim == 1 and (found.size == 0 or np.issubdtype(found.dtype, np.integer))
    if not whole or len(found) != expected or len(set(found.tolist()) & set(range(len(smiles)))) != expected:
        raise wrong_result("choice", choice, shown(indices), f"{expected} different indices below {len(smiles)}")
    return [smiles[index] for index in found.tolist()]


def _has_tokens(drawn: Draw, row: int) -> bool:
    """Return whether a row, and its source if it is a pair, has tokens in its vocabulary."""
    sources = drawn.rows.source_lengths
    return bool(drawn.rows.lengths[row] > 0 and (sources is None or sources[row] > 0))


def _within_budget(judged: list[PairJudgement], pipeline: Pipeline) -> list[PairJudgement]:
    """Reject the rows beyond the budget of oracle calls, and count the molecules of the others."""
    if pipeline.calls is None:
        return judged
    asked: dict[int, tuple[str, ...]] = {}
    for row, judgement in enumerate(judged):
        smiles, source = judgement.target.smiles, judgement.source
        if judgement.target.rejected_by is None and smiles is not None:
            asked[row] = (smiles,) if source is None or pipeline.template is None else (source, smiles)
    admitted = pipeline.calls.admit(list(asked.values()))
    refused = {row for row, fits in zip(asked, admitted, strict=True) if not fits}
    return [_rejected(each, BUDGET) if row in refused else each for row, each in enumerate(judged)]


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
