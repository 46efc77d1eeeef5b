"""The settings of a learner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Gt

from molbuffer.kinds import checked

Positive = Annotated[float, Gt(0)]
AutoPrecision = Literal["auto", "float32", "mixed", "bfloat16"]
"""A precision of matrix products; auto chooses it by the processor."""


@checked
@dataclass(frozen=True)
class LearnerSettings:
    """The settings of a learner: the step size, and the precision of its products.

    Attributes:
        learning_rate: the learning rate of Adam, above 0.
        gradient_norm: the largest norm of a step's gradient, above 0; longer gradients are scaled down to it.
        precision: the precision of the matrix products of a GRU. float32: all in float32; mixed: the products of the
            gradient in bfloat16; bfloat16: also the products of likelihoods and of draws; auto: mixed on a processor
            with bfloat16, where such a product takes about half the time, and float32 elsewhere. Weights, states,
            logits and losses are always in float32.

    Example:
        >>> mb.LearnerSettings(learning_rate=2e-4).gradient_norm
        1.0
    """

    learning_rate: Positive = 3e-4
    gradient_norm: Positive = 1.0
    precision: AutoPrecision = "auto"
