"""The loss of pretraining of autoencoders: the negative evidence lower bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from molbuffer.samplers import cpu_generator
from molbuffer.samplers.models import Condition, GenerativeModel, Posterior, likelihoods
from molbuffer.training.pretraining.corpus import CorpusBatch


@runtime_checkable
class Autoencoder(Protocol):
    """A model with a posterior distribution of latent vectors."""

    def posterior(self, tokens: Tensor, lengths: Tensor) -> Posterior:
        """Return q(z | sequence) of tokens int64 [n, L] with lengths [n]."""
        ...


@dataclass(frozen=True)
class NegativeELBO:
    """The loss −E_q[log p(sequence | z)] + β KL(q(z | sequence) || p(z)), with one reparameterised z a sequence.

    Attributes:
        beta: the weight of the divergence, at least 0 (Higgins et al. 2017, beta-VAE); with 1, the loss bounds the
            negative log-likelihood.
        warmup_steps: the number of steps in which β rises linearly from 0, so that the decoder learns to use the
            information in latent vectors (Bowman et al. 2016, arXiv:1511.06349).
        free_bits: the nats of divergence of each independent part of a latent vector that cost nothing: a part whose
            divergence, averaged over the batch, is less has no gradient (Kingma et al. 2016, arXiv:1606.04934).
    """

    beta: float = 1.0
    warmup_steps: int = 0
    free_bits: float = 0.0

    def __post_init__(self) -> None:
        if self.beta < 0 or self.warmup_steps < 0 or self.free_bits < 0:
            raise ValueError(f"beta, warmup_steps and free_bits must be >= 0, got {self}")

    def __call__(self, model: GenerativeModel, batch: CorpusBatch, step: int | None) -> Tensor:
        """Return the loss of each sequence [b] in nats; with the final β and fixed noise if ``step`` is None."""
        if not isinstance(model, Autoencoder):
            raise TypeError(f"the evidence lower bound needs a model with a posterior, got one of kind {model.kind!r}")
        posterior = model.posterior(batch.tokens, batch.lengths)
        latents = posterior.sample(cpu_generator(0) if step is None else None)
        log_probs = likelihoods(model, batch.tokens, batch.lengths, condition=Condition(latents=latents))
        divergence = posterior.divergence()
        priced = torch.where(divergence.mean(0) > self.free_bits, divergence, self.free_bits)
        # Validation has the β of the training: at β = 1, a model trained with β < 1 would look worse the more
        # information its latent vectors carry.
        beta = self.beta if step is None else self.beta_at(step)
        return beta * priced.sum(1) - log_probs.sum(1)

    def beta_at(self, step: int) -> float:
        """Return β at a step of the training."""
        return self.beta * min(1.0, step / self.warmup_steps if self.warmup_steps else 1.0)
