"""The rewards of the pairs of a build, and the metrics of pairs in addition to those of every sampler.

sources_unusable  drawn sources without a pair, since they are no molecule or not expressible
similarity        mean similarity of target and source over the kept pairs; null when no pair was kept
improvement       mean of (reward of the target − reward of the source) over the kept pairs with both; null without any
pair_rewards      mean reward of these pairs: the improvement, or its share of the possible improvement

The last three are reported where a template defines the rewards of pairs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from molbuffer.samplers.base import Draw
from molbuffer.samplers.builds.judging import BuildScores
from molbuffer.samplers.scores import reward_of
from molbuffer.scoring import ContrastiveTemplate, PairJudgement
from molbuffer.storage import Metric, Reward


def pair_rewards(
    judged: Sequence[PairJudgement], template: ContrastiveTemplate, scores: BuildScores
) -> tuple[list[Reward], list[Metric]]:
    """Return the reward of each kept pair, and the metrics of the pairs.

    A reward is failed if a score of an end has failed, and pending if a score of an end is pending.
    """
    kept = [
        (row, judgement.source, judgement.target.smiles)
        for row, judgement in enumerate(judged)
        if judgement.target.rejected_by is None and judgement.source is not None and judgement.target.smiles is not None
    ]
    # Both ends at once, so that an expensive scorer gets all its molecules in one call.
    scores.rewards([end for _, *ends in kept for end in ends])
    sources, targets = scores.of([source for _, source, _ in kept]), scores.of([target for *_, target in kept])
    values = template.rewards(sources, targets)
    objective_sha256 = template.objective_sha256(scores.scorer.objective)
    rewards = [
        reward_of(row, value, objective_sha256, pending=scores.are_pending(*ends))
        for (row, *ends), value in zip(kept, values.tolist(), strict=True)
    ]
    similarities = [value for row, *_ in kept if (value := judged[row].similarity) is not None]
    return rewards, [
        Metric("similarity", _mean(similarities)),
        Metric("improvement", _mean((targets - sources).tolist())),
        Metric("pair_rewards", _mean(values.tolist())),
    ]


def source_metrics(drawn: Draw) -> list[Metric]:
    """Return the metrics of the sources of a build; none for a build without pairs."""
    return [] if drawn.source_smiles is None else [Metric("sources_unusable", float(drawn.sources_unusable))]


def _mean(values: Sequence[float]) -> float | None:
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else None
