"""The settings of a learner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Gt

from molbuffer.kinds import checked

Positive = Annotated[float, Gt(0)]


@checked
@dataclass(frozen=True)
class LearnerSettings:
    """The settings of a learner.

    Attributes:
        learning_rate: the learning rate of Adam.
        gradient_norm: the largest norm of a step's gradient; longer gradients are scaled down to it.

    Example:
        >>> mb.LearnerSettings(learning_rate=2e-4).gradient_norm
        1.0
    """

    learning_rate: Positive = 1e-4
    gradient_norm: Positive = 1.0
