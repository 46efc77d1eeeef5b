"""The settings of a learner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Gt

from molbuffer.kinds import checked

Positive = Annotated[float, Gt(0)]
AutoPrecision = Literal["auto", "float32", "mixed", "bfloat16"]
"""A precision of matrix products, or the choice of one by the processor."""


@checked
@dataclass(frozen=True)
class LearnerSettings:
    """The settings of a learner.

    Attributes:
        learning_rate: the learning rate of Adam.
        gradient_norm: the largest norm of a step's gradient; longer gradients are scaled down to it.
        precision: the precision of the matrix products of a GRU: float32; mixed, with those of the gradient in
            bfloat16; bfloat16, with those of the likelihoods and of what the learner's policy draws in it, too. On a
            processor that has it a product of bfloat16 takes about half the time. auto is mixed there, and float32
            elsewhere. Weights, states, logits and losses are always in float32.

    Example:
        >>> mb.LearnerSettings(learning_rate=2e-4).gradient_norm
        1.0
    """

    learning_rate: Positive = 3e-4
    gradient_norm: Positive = 1.0
    precision: AutoPrecision = "auto"
