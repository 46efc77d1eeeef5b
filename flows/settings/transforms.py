"""The ``transform`` of a component, of its raw value to [0, 1]."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from molbuffer.flows.settings.base import Buildable
from molbuffer.scoring import transforms

Positive = Annotated[float, Field(gt=0)]


class IdentitySettings(Buildable):
    """The raw value itself, for components in [0, 1]."""

    kind: Literal["identity"]
    """The raw value itself."""

    def build(self) -> transforms.Transform:
        return transforms.Identity()


class BetweenLowAndHigh(Buildable):
    """The keys of transforms between two raw values."""

    low: float
    """The raw value at the lower end."""

    high: float
    """The raw value at the upper end; greater than low."""


class SigmoidSettings(BetweenLowAndHigh):
    """Rises smoothly, from near 0 at ``low`` to near 1 at ``high``."""

    kind: Literal["sigmoid"]
    """More is better, smoothly."""

    steepness: Positive = 0.5
    """At 0.5 the transform is 0.003 at low and 0.997 at high; greater is steeper."""

    def build(self) -> transforms.Transform:
        return transforms.Sigmoid(self.low, self.high, self.steepness)


class ReverseSigmoidSettings(BetweenLowAndHigh):
    """Falls smoothly, from near 1 at ``low`` to near 0 at ``high``."""

    kind: Literal["reverse_sigmoid"]
    """Less is better, smoothly."""

    steepness: Positive = 0.5
    """At 0.5 the transform is 0.997 at low and 0.003 at high; greater is steeper."""

    def build(self) -> transforms.Transform:
        return transforms.ReverseSigmoid(self.low, self.high, self.steepness)


class DoubleSigmoidSettings(BetweenLowAndHigh):
    """Near 1 between ``low`` and ``high``, 0.5 at both, and falling smoothly to 0 outside."""

    kind: Literal["double_sigmoid"]
    """A range is best, smoothly."""

    steepness_low: Positive = 2.0
    """The steepness at low; at 2 the transform is 0.01 a tenth of the range below low and 0.99 a tenth above."""

    steepness_high: Positive = 2.0
    """The steepness at high."""

    def build(self) -> transforms.Transform:
        return transforms.DoubleSigmoid(self.low, self.high, self.steepness_low, self.steepness_high)


class LinearSettings(BetweenLowAndHigh):
    """Rises in a straight line, from 0 at ``low`` to 1 at ``high``."""

    kind: Literal["linear"]
    """More is better, in proportion."""

    def build(self) -> transforms.Transform:
        return transforms.Linear(self.low, self.high)


class StepSettings(BetweenLowAndHigh):
    """1 from ``low`` to ``high``, both inclusive and possibly equal, and 0 elsewhere."""

    kind: Literal["step"]
    """All or nothing."""

    def build(self) -> transforms.Transform:
        return transforms.Step(self.low, self.high)


class GaussianSettings(Buildable):
    """A bell curve around the best value."""

    kind: Literal["gaussian"]
    """One value is best."""

    mean: float
    """The best raw value."""

    sigma: Positive
    """The raw value's distance from the mean at which the transform is 0.61."""

    def build(self) -> transforms.Transform:
        return transforms.Gaussian(self.mean, self.sigma)


TransformSettings = Annotated[
    IdentitySettings
    | SigmoidSettings
    | ReverseSigmoidSettings
    | DoubleSigmoidSettings
    | LinearSettings
    | StepSettings
    | GaussianSettings,
    Field(discriminator="kind"),
]
"""Every kind of transform."""
