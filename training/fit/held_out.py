"""Held-out rows: the loss of a policy on rows that it does not learn from, and the likelihood of the best of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from molbuffer.samplers import Vocabulary, numpy_generator, stored_rows
from molbuffer.storage import HistoryIndex
from molbuffer.training.batches import BUFFER, Block, TrainingBatch, join
from molbuffer.training.fit.learner import Learner

BEST_SHARE = 0.1
"""The share of the held-out rows that count as the best, in (0, 1]."""
MOST_ROWS = 1_024
"""The most held-out rows of a validation."""


@dataclass(frozen=True)
class HeldOutQuality:
    """The quality of a policy on m held-out rows.

    Attributes:
        loss: the mean loss of the batches, weighted by their rows.
        best_nll: the mean negative log-likelihood of the tenth of rows with the highest rewards, in nats a molecule.
        log_ratios: log π − log μ of each row under the policy π and the behaviour policy μ, float64 [m]; NaN for a row
            with an unknown likelihood, or drawn with top_k or top_p.
        rewards: the rewards of the rows, float64 [m].
    """

    loss: float
    best_nll: float
    log_ratios: NDArray[np.float64]
    rewards: NDArray[np.float64]


def held_out_batches(index: HistoryIndex, vocabulary: Vocabulary, *, batch_size: int, seed: int) -> list[TrainingBatch]:
    """Return held-out rows in batches: all rows, or ``MOST_ROWS`` random ones, in the order of the index.

    Args:
        index: the held-out rows, which the vocabulary can express.
        vocabulary: the vocabulary of the policy in training.
        batch_size: the most rows of a batch.
        seed: the seed of the choice of rows.
    """
    chosen = np.sort(numpy_generator(seed, "held out").permutation(len(index))[:MOST_ROWS])
    parts = [chosen[start : start + batch_size] for start in range(0, len(chosen), batch_size)]
    return [
        join(number, [Block(BUFFER, stored_rows(index, part, vocabulary), partial(index.smiles, part))])
        for number, part in enumerate(parts)
    ]


def held_out_quality(learner: Learner, batches: Sequence[TrainingBatch]) -> HeldOutQuality:
    """Return the quality of the present policy of a learner on held-out rows, without learning from them.

    Args:
        learner: the learner.
        batches: the held-out rows, at least one batch.

    Raises:
        UnsuitableDataError: the loss is not defined on a row.
    """
    losses, likelihoods, ratios, rewards = [], [], [], []
    for batch in batches:
        rows, loss = learner.scored(batch)
        ratio = (rows.agent - rows.behaviour).sum(1).double()
        if (truncated := batch.columns.get("truncated")) is not None:
            ratio[truncated.to(ratio.device) > 0] = torch.nan
        losses.append(loss * len(batch))
        likelihoods.append(rows.agent.sum(1).double().cpu().numpy())
        ratios.append(ratio.cpu().numpy())
        rewards.append(batch.rewards.double().cpu().numpy())
    reward, likelihood = np.concatenate(rewards), np.concatenate(likelihoods)
    best = np.argsort(-reward, kind="stable")[: math.ceil(BEST_SHARE * len(reward))]
    return HeldOutQuality(
        loss=sum(losses) / len(reward),
        best_nll=-float(likelihood[best].mean()),
        log_ratios=np.concatenate(ratios),
        rewards=reward,
    )
