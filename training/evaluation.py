"""Evaluation of policies by fresh draws: their rewards, and an interval of the difference of two policies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from molbuffer.samplers import ModelSampler, Policy, Scorer
from molbuffer.scoring import Filter, Standardisation, judge_many

RESAMPLES = 2_000
"""Bootstrap samples of an interval."""


@dataclass(frozen=True)
class DrawEvaluation:
    """Fresh draws of a policy under an objective.

    Attributes:
        rewards: float64 [n], one a draw; 0 where the string is no molecule, was rejected, or could not be scored.
        validity: molecules / draws.
        uniqueness: different molecules / molecules; None without any.
    """

    rewards: NDArray[np.float64]
    validity: float
    uniqueness: float | None

    @property
    def mean_reward(self) -> float:
        """The mean reward of all draws."""
        return float(self.rewards.mean())


def evaluate_policy(
    policy: Policy,
    scorer: Scorer,
    filters: Sequence[Filter],
    standardisation: Standardisation,
    *,
    draws: int,
    seed: int,
) -> DrawEvaluation:
    """Draw molecules at temperature 1, score those that pass the filters, and record the scores in the scorer's
    store.
    """
    drawn = ModelSampler("evaluation", lambda: policy).draw(draws, seed)
    judged = judge_many(drawn.raw, filters, standardisation)
    molecules = [judgement.smiles for judgement in judged if judgement.smiles is not None]
    kept = [judgement.smiles for judgement in judged if judgement.smiles is not None and judgement.rejected_by is None]
    scored = scorer.score(kept)
    if scorer.store is not None and scored.new:
        scorer.store.record_scores(scored.new, run_id=scorer.run_id)
    reward_of = scored.reward_of()
    rewards = [
        reward_of[judgement.smiles] if judgement.smiles is not None and judgement.rejected_by is None else 0.0
        for judgement in judged
    ]
    return DrawEvaluation(
        rewards=np.nan_to_num(np.array(rewards, np.float64), nan=0.0),
        validity=len(molecules) / draws,
        uniqueness=len(set(molecules)) / len(molecules) if molecules else None,
    )


def bootstrap_difference(
    better: NDArray[np.float64], base: NDArray[np.float64], seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the difference of two means (Efron & Tibshirani 1993, chapter 13).

    Args:
        better: float64 [n], a sample.
        base: float64 [m], a sample that is independent of it.
        seed: the seed of the resampling.
        level: the level of confidence, in (0, 1).

    Returns:
        The lower and the upper end.
    """
    rng = np.random.default_rng(seed)
    resampled = [
        values[rng.integers(len(values), size=(RESAMPLES, len(values)))].mean(axis=1) for values in (better, base)
    ]
    low, high = np.quantile(resampled[0] - resampled[1], [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
