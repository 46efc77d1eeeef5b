"""What the modules of this package have in common, and what those have that nothing conditions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from molbuffer.samplers.models.condition import UNCONDITIONED, Condition, Takes
from molbuffer.samplers.models.decoding import Step, chosen_log_probs, decode, impossible_tokens
from molbuffer.samplers.models.distribution import UNTRUNCATED, Sampling
from molbuffer.samplers.models.protocol import Sequences


class SequenceModule(nn.Module):
    """The module of a model.

    Attributes:
        sizes: a dataclass with ``vocabulary_size`` and ``max_length`` among its fields.
        impossible: what is added to logits [V] so that PAD and START are never drawn.
    """

    sizes: Any
    impossible: Tensor

    def __init__(self, sizes: Any) -> None:
        super().__init__()
        self.sizes = sizes
        self.register_buffer("impossible", impossible_tokens(sizes.vocabulary_size), persistent=False)

    def architecture(self) -> Mapping[str, Any]:
        return asdict(self.sizes)

    def as_module(self) -> nn.Module:
        return self


class LanguageModel(SequenceModule, ABC):
    """p(sequence) = Π p(token | tokens before it), with PAD and START impossible."""

    takes = Takes.NOTHING

    @abstractmethod
    def logits(self, tokens: Tensor) -> Tensor:
        """The next-token logits [n, L, V] before each token of [n, L]."""

    @abstractmethod
    def step(self, n: int, device: torch.device) -> Step:
        """The model at the beginning of n sequences, without dropout."""

    def log_probs(
        self,
        tokens: Tensor,
        lengths: Tensor,
        *,
        condition: Condition = UNCONDITIONED,
        sampling: Sampling = UNTRUNCATED,
    ) -> Tensor:
        """The log-probability [n, L] of each token of int64 [n, L] under ``sampling``; 0 at and after lengths [n]."""
        return chosen_log_probs(self.logits(tokens), tokens, lengths, sampling)

    @torch.no_grad()
    def sample(
        self,
        n: int,
        *,
        condition: Condition = UNCONDITIONED,
        sampling: Sampling = UNTRUNCATED,
        generator: torch.Generator,
    ) -> Sequences:
        """Draws n sequences; see ``decode`` for what a row depends on. A condition is left alone."""
        step = self.step(n, generator.device)
        return decode(step, n, longest=self.sizes.max_length, sampling=sampling, generator=generator)
