"""The settings of a learner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Gt

from molbuffer.kinds import checked

Positive = Annotated[float, Gt(0)]
Precision = Literal["auto", "float32", "bfloat16"]


@checked
@dataclass(frozen=True)
class LearnerSettings:
    """The settings of a learner.

    Attributes:
        learning_rate: the learning rate of Adam.
        gradient_norm: the largest norm of a step's gradient; longer gradients are scaled down to it.
        precision: the precision of the matrix products of a gradient: float32; bfloat16, in about half the time on a
            processor that has it; or auto, bfloat16 there and float32 elsewhere. Likelihoods, losses and weights are
            always in float32. Only the gradients of GRUs know of it.

    Example:
        >>> mb.LearnerSettings(learning_rate=2e-4).gradient_norm
        1.0
    """

    learning_rate: Positive = 3e-4
    gradient_norm: Positive = 1.0
    precision: Precision = "auto"
