"""The effects of transfer learning: a comparison of the trained policy with the policy that the training began with.

gain          the loss of the old policy less the loss of the new policy, on the held-out rows of the file
forgetting    the loss of the new policy less the loss of the old policy, on draws of the old policy, which represent
              its training data. It estimates the divergence KL(old || new), in nats a molecule: 0 for a policy that
              draws as before, and large for a policy that would hardly draw these molecules any more
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from molbuffer.samplers import ModelSampler, Policy, derive_seed
from molbuffer.samplers.models import MODELS, GenerativeModel, LatentModel
from molbuffer.training.pretraining.corpus import Corpus
from molbuffer.training.pretraining.data import PretrainData
from molbuffer.training.pretraining.elbo import NegativeELBO
from molbuffer.training.pretraining.pretrain import MoleculeLoss, held_out_loss, negative_log_likelihood

OLD_DRAWS = 2_000
"""The most draws of the old policy that represent its data; the standard error of their mean loss is about 0.2 nats."""


@dataclass(frozen=True)
class BeforeTransfer:
    """The quality of the policy that a transfer learning begins with, before the first step.

    Attributes:
        metrics: ``held_out_nll_before``, in nats, and the quality of its draws; all names end with ``_before``.
        draws: draws of the policy; None for a model of pairs, whose sources it cannot draw.
        old_nll: the mean loss of the policy on the draws, in nats.
    """

    metrics: dict[str, Any]
    draws: Corpus | None
    old_nll: float | None

    @classmethod
    def of(cls, policy: Policy, data: PretrainData, draws: int, seed: int, batch_size: int) -> BeforeTransfer:
        """Measure the quality of a policy.

        Args:
            policy: the policy that the training begins with.
            data: the rows of the training.
            draws: the number of draws for the quality.
            seed: the seed of the draws.
            batch_size: the number of rows whose losses are computed at once.
        """
        loss = _loss_of(policy.model)
        metrics = {"held_out_nll": held_out_loss(policy.model, data.corpus, batch_size, loss)}
        metrics |= {name: value for name, value in data.judge(policy, draws, seed).items() if name in _QUALITIES}
        before = {f"{name}_before": value for name, value in metrics.items()}
        if MODELS[policy.kind].learns_pairs:
            return cls(before, None, None)
        drawn = ModelSampler("old", lambda: policy).draw(min(draws, OLD_DRAWS), derive_seed(seed, "old"))
        every, none = np.arange(len(drawn.raw), dtype=np.int64), np.zeros(0, np.int64)
        corpus = Corpus(drawn.raw, drawn.rows.tokens, drawn.rows.lengths, held_out=every, training=none)
        return cls(before, corpus, held_out_loss(policy.model, corpus, batch_size, loss))

    def compared_with(self, model: GenerativeModel, batch_size: int) -> dict[str, Any]:
        """Return the metrics of the old policy, and the forgetting of a model that was trained from it, by name."""
        if self.draws is None or self.old_nll is None:
            return self.metrics
        old_nll = held_out_loss(model, self.draws, batch_size, _loss_of(model))
        return {
            **self.metrics,
            "old_nll_before": self.old_nll,
            "old_nll": old_nll,
            "forgetting": old_nll - self.old_nll,
        }


_QUALITIES = frozenset({"validity", "uniqueness", "novelty"})


def _loss_of(model: GenerativeModel) -> MoleculeLoss:
    """Return the negative log-likelihood, or for a latent model its bound, whatever loss the training has."""
    return NegativeELBO() if isinstance(model, LatentModel) else negative_log_likelihood
