"""The base classes of the models of this package: of all models, and of those without a condition."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from molbuffer.samplers.models.condition import UNCONDITIONED, Condition, ConditionKind
from molbuffer.samplers.models.decoding import (
    DecodingStep,
    chosen_log_probs,
    decode,
    decode_by,
    impossible_tokens,
    uniform_numbers,
)
from molbuffer.samplers.models.distribution import UNTRUNCATED, Sampling
from molbuffer.samplers.models.protocol import GenerativeModel, Sequences


class SequenceModule(GenerativeModel):
    """A model that is built from a dataclass of sizes.

    Attributes:
        sizes: a dataclass with ``vocabulary_size`` and ``max_length`` among its fields.
        impossible: a vector [V] to add to logits, -inf for PAD and START, so that these are never drawn.
    """

    sizes: Any
    impossible: Tensor

    def __init__(self, sizes: Any) -> None:
        super().__init__()
        self.sizes = sizes
        self.register_buffer("impossible", impossible_tokens(sizes.vocabulary_size), persistent=False)

    def architecture(self) -> Mapping[str, Any]:
        return asdict(self.sizes)


class LanguageModel(SequenceModule):
    """p(sequence) = Π p(token | tokens before it), with PAD and START impossible."""

    condition_kind = ConditionKind.NOTHING

    @abstractmethod
    def logits(self, tokens: Tensor) -> Tensor:
        """Return the next-token logits [n, L, V] before each token of [n, L]."""

    @abstractmethod
    def step(self, n: int, device: torch.device) -> DecodingStep:
        """Return the state of the model before the first token of n sequences, without dropout."""

    def log_probs(
        self,
        tokens: Tensor,
        lengths: Tensor,
        *,
        condition: Condition = UNCONDITIONED,
        sampling: Sampling = UNTRUNCATED,
    ) -> Tensor:
        """Return the log-probability [n, L] of each token of int64 [n, L] under ``sampling``.

        It is 0 at and after the lengths [n].
        """
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
        """Draw n sequences; see ``decode`` for what a row depends on. The condition is ignored."""
        return decode(
            self.step(n, self.device),
            n,
            longest=self.sizes.max_length,
            sampling=sampling,
            generator=generator,
            device=self.device,
        )

    @torch.no_grad()
    def sample_parts(self, parts: Sequence[tuple[int, torch.Generator]], sampling: Sampling) -> Sequences:
        """Draw the sequences of several draws in one batch.

        Up to rounding, the sequences are those of ``sample`` for one draw after another.

        Args:
            parts: the number of sequences and the generator of each draw.
            sampling: the changes to the token distribution.
        """
        numbers = [uniform_numbers(n, self.sizes.max_length, generator) for n, generator in parts]
        uniform = torch.cat(numbers).to(self.device)
        return decode_by(self.step(len(uniform), self.device), uniform, sampling)
