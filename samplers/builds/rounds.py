"""The rows of a build, drawn and judged in rounds until enough are kept.

A round draws the missing rows, or more candidates if a choice or screening decides which molecules are scored. A
trained policy draws many molecules that the run has scored before; screening gains nothing from these, so that further
rows are drawn before it picks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from molbuffer.samplers.base import Draw, Sampler, concatenate
from molbuffer.samplers.builds.attempts import Attempts
from molbuffer.samplers.builds.bad_rows import report_rejected
from molbuffer.samplers.builds.build_spec import BuildSpec
from molbuffer.samplers.builds.checked_draws import draw_rows_from, draw_rows_of
from molbuffer.samplers.builds.judging import (
    BuildScores,
    Pipeline,
    filter_rows,
    pay_for_rows,
    refuse_duplicates,
    refuse_screened,
    refuse_unchosen,
)
from molbuffer.samplers.files import EpochPosition, EpochSampler, epoch_sampler
from molbuffer.samplers.seeds import derive_seed
from molbuffer.scoring import SCREENING, Choice, PairJudgement
from molbuffer.storage import ScreenedRow

REDRAW_ROUNDS = 4
"""The largest number of further rounds, after which a build has a shortfall."""
CANDIDATE_DRAWS = 4
"""The largest number of draws in a round for candidates of screening, each of at most the number of candidates."""


@dataclass
class Rounds:
    """The rounds of a build.

    Attributes:
        sampler: the sampler that draws the rows.
        spec: the specification of the build.
        seed: the seed of the build, from which the seed of each draw is derived.
        pipeline: the steps from drawn strings to scored samples.
        scores: the scores of the build.
    """

    sampler: Sampler
    spec: BuildSpec
    seed: int
    pipeline: Pipeline
    scores: BuildScores
    _draws: list[Draw] = field(default_factory=list, init=False)
    _judged: list[PairJudgement] = field(default_factory=list, init=False)
    _screened: list[ScreenedRow | None] = field(default_factory=list, init=False)
    _met: set[str] = field(default_factory=set, init=False)

    def made(self) -> tuple[Draw, list[PairJudgement], list[ScreenedRow | None] | None]:
        """Return all drawn rows, the judgement of each, and the result of screening for each (None without it)."""
        missing, calls = self.spec.wanted, self.pipeline.calls
        for number in range(1 + REDRAW_ROUNDS):
            picked = self._picked(self._drawn(number, missing), number, missing)
            self._judged += pay_for_rows(picked, self.pipeline, self.scores)
            missing = self.spec.wanted - sum(each.target.rejected_by is None for each in self._judged)
            if missing <= 0 or (calls is not None and calls.used_up):
                break
        drawn = concatenate(self._draws)
        report_rejected(drawn, self._judged)
        screened = None if self.pipeline.screener is None else _scored_only(self._screened, self._judged)
        return drawn, self._judged, screened

    def _drawn(self, number: int, missing: int) -> list[PairJudgement]:
        """Draw the rows of a round, and return their judgements by the filters."""
        candidates = self._candidates(missing)
        if self._going is not None:
            start = self.spec.drawn_before + sum(map(len, self._draws))
            position = EpochPosition(start, derive_seed(self.spec.campaign_seed, self.sampler.name))
            return self._filtered(draw_rows_from(self._going, position, candidates, derive_seed(self.seed, number)))
        judged = self._filtered(self._attempts.draw(number, candidates))
        if self.pipeline.screener is None or candidates == missing:
            return judged
        for draw in range(1, CANDIDATE_DRAWS):
            found = self.pipeline.screener.count_new(_molecules(judged))
            if found >= candidates:
                break
            more = min(candidates, math.ceil((candidates - found) * len(judged) / max(1, found)))
            judged += self._filtered(draw_rows_of(self.sampler, more, derive_seed(self.seed, number, "more", draw)))
        return judged

    def _candidates(self, missing: int) -> int:
        """Return the number of candidates from which the rows of a round are picked."""
        if self.pipeline.screener is not None:
            return self.pipeline.screener.candidates(self.spec.place, missing)
        return missing if self._choice is None else math.ceil(missing * self._choice.candidates)

    def _filtered(self, drawn: Draw) -> list[PairJudgement]:
        self._draws.append(drawn)
        judged = filter_rows(drawn, self.pipeline)
        if not self.sampler.unique:
            return judged
        return refuse_duplicates(judged, self._met, self.pipeline.seen if self.sampler.unique == "run" else None)

    def _picked(self, judged: list[PairJudgement], number: int, missing: int) -> list[PairJudgement]:
        """Reject the rows of a round that the choice or the screener does not pick."""
        if self._choice is not None:
            judged = refuse_unchosen(judged, missing, self._choice, derive_seed(self.seed, number, "choice"))
        if self.pipeline.screener is not None:
            seed = derive_seed(self.seed, number, SCREENING)
            judged, rows = refuse_screened(judged, missing, self.pipeline.screener, self.spec.place, seed)
            self._screened += rows
        return judged

    @cached_property
    def _going(self) -> EpochSampler | None:
        return epoch_sampler(self.sampler)

    @cached_property
    def _choice(self) -> Choice | None:
        # A file's rows are not chosen from, since a rejected row would not be drawn again in the epoch.
        return self.pipeline.choice if self._going is None else None

    @cached_property
    def _attempts(self) -> Attempts:
        return Attempts(self.sampler, self.seed)


def _molecules(judged: Sequence[PairJudgement]) -> set[str]:
    """Return the canonical SMILES of the rows that are not rejected yet."""
    kept = (each.target.smiles for each in judged if each.target.rejected_by is None)
    return {smiles for smiles in kept if smiles is not None}


def _scored_only(screened: Sequence[ScreenedRow | None], judged: Sequence[PairJudgement]) -> list[ScreenedRow | None]:
    """Return the results of screening, with ``picked_by`` None for rows that were rejected after they were picked."""
    return [
        row if row is None or each.target.rejected_by is None else replace(row, picked_by=None)
        for row, each in zip(screened, judged, strict=True)
    ]
