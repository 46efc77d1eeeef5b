"""Transforms: maps from raw values to [0, 1].

Each is a frozen dataclass that is called with a float64 array and returns an array of the same shape. NaN, which marks
a failed or absent score, stays NaN. The sigmoids are those of REINVENT 4 (Loeffler et al., Journal of Cheminformatics
16:20, 2024), σ(u) = 1 / (1 + 10^(−u)) over a range with two ends.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from annotated_types import Gt
from numpy.typing import NDArray

from molbuffer.kinds import Family, checked, class_with
from molbuffer.scoring.errors import ScoringConfigurationError
from molbuffer.scoring.identity import check_order, checked_number

Values = NDArray[np.float64]

Positive = Annotated[float, Gt(0)]

ROUNDING = 1e-6
"""The distance from [0, 1] within which a value outside counts as the nearer end."""


@runtime_checkable
class Transform(Protocol):
    """Maps raw values to [0, 1]."""

    @property
    def kind(self) -> str: ...
    def settings(self) -> dict[str, Any]:
        """Return the kind and every parameter, as JSON values."""

    def __call__(self, values: Values) -> Values:
        """Return the transformed values, float64 of the same shape; NaN where a value is NaN."""


@dataclass(frozen=True)
class _Numbers:
    """The base class of transforms: parameters are finite floats, and a ``low`` is below its ``high``."""

    kind: ClassVar[str]

    def __post_init__(self) -> None:
        numbers = {field.name: getattr(self, field.name) for field in fields(self)}
        for name, value in numbers.items():
            object.__setattr__(self, name, checked_number(f"{name} of a {self.kind} transform", value))
            if name not in ("low", "high", "mean") and value <= 0:
                raise ScoringConfigurationError(f"{name} of a {self.kind} transform must be positive, got {value}")
        low, high = numbers.get("low"), numbers.get("high")
        check_order(f"low of a {self.kind} transform", low, "its high", high, strict=self.kind != "step")

    def settings(self) -> dict[str, Any]:
        return {"kind": self.kind, **asdict(self)}

    def __call__(self, values: Values) -> Values:
        # A value far out of range may overflow to infinity in between, which has the right limit.
        with np.errstate(over="ignore"):
            return self._map(values)

    def _map(self, values: Values) -> Values:
        raise NotImplementedError


@checked
@dataclass(frozen=True)
class Identity(_Numbers):
    """The raw value itself; a value outside [0, 1] becomes NaN, since its transformed value is undefined.

    Rounding noise is clipped: a cosine in single precision may be 1.0000001.
    """

    kind: ClassVar[str] = "identity"

    def _map(self, values: Values) -> Values:
        inside = (values >= -ROUNDING) & (values <= 1 + ROUNDING)
        return np.where(inside, np.clip(values, 0.0, 1.0), np.nan)


@checked
@dataclass(frozen=True)
class Sigmoid(_Numbers):
    """Rises from 0 below ``low`` to 1 above ``high``: σ(10 k (x − (low + high)/2) / (high − low)).

    Attributes:
        low: the raw value at the lower end.
        high: the raw value at the upper end; greater than low.
        steepness: k; with the default of 0.5 the transform is 0.003 at ``low``, 0.5 half-way and 0.997 at ``high``.

    Example:
        >>> mb.Sigmoid(low=0, high=10)(np.array([0.0, 5.0, 10.0])).round(2).tolist()
        [0.0, 0.5, 1.0]
    """

    low: float
    high: float
    steepness: Positive = 0.5

    kind: ClassVar[str] = "sigmoid"

    def _map(self, values: Values) -> Values:
        return _sigmoid(10 * self.steepness * (values - (self.low + self.high) / 2) / (self.high - self.low))


@checked
@dataclass(frozen=True)
class ReverseSigmoid(_Numbers):
    """Falls from 1 below ``low`` to 0 above ``high``: 1 − Sigmoid, for raw values where less is better.

    Attributes:
        low: the raw value at the lower end.
        high: the raw value at the upper end; greater than low.
        steepness: k; with the default of 0.5 the transform is 0.997 at ``low`` and 0.003 at ``high``.

    Example:
        >>> mb.ReverseSigmoid(low=3, high=5)(np.array([3.0, 4.0, 5.0])).round(2).tolist()
        [1.0, 0.5, 0.0]
    """

    low: float
    high: float
    steepness: Positive = 0.5

    kind: ClassVar[str] = "reverse_sigmoid"

    def _map(self, values: Values) -> Values:
        return _sigmoid(-10 * self.steepness * (values - (self.low + self.high) / 2) / (self.high - self.low))


@checked
@dataclass(frozen=True)
class DoubleSigmoid(_Numbers):
    """Near 1 between ``low`` and ``high`` and 0 far outside.

    The product σ(10 k₁ (x − low) / (high − low)) σ(10 k₂ (high − x) / (high − low)); half at both ends, unless the
    flanks are so flat that they meet.

    Attributes:
        low: the raw value at the lower end.
        high: the raw value at the upper end; greater than low.
        steepness_low: k₁ of the rising flank; with 2, the transform is 0.99 a tenth of the range inside the end, and
            0.01 a tenth outside.
        steepness_high: k₂ of the falling flank.

    Example:
        >>> mb.DoubleSigmoid(low=1, high=4)(np.array([-5.0, 2.5, 10.0])).round(2).tolist()
        [0.0, 1.0, 0.0]
    """

    low: float
    high: float
    steepness_low: Positive = 2.0
    steepness_high: Positive = 2.0

    kind: ClassVar[str] = "double_sigmoid"

    def _map(self, values: Values) -> Values:
        width = self.high - self.low
        rising = _sigmoid(10 * self.steepness_low * (values - self.low) / width)
        return rising * _sigmoid(10 * self.steepness_high * (self.high - values) / width)


@checked
@dataclass(frozen=True)
class Linear(_Numbers):
    """0 up to ``low``, 1 from ``high`` on, and a straight line between.

    Attributes:
        low: the raw value at the lower end.
        high: the raw value at the upper end; greater than low.

    Example:
        >>> mb.Linear(low=6, high=9)(np.array([6.0, 7.5, 12.0])).tolist()
        [0.0, 0.5, 1.0]
    """

    low: float
    high: float

    kind: ClassVar[str] = "linear"

    def _map(self, values: Values) -> Values:
        return np.clip((values - self.low) / (self.high - self.low), 0.0, 1.0)


@checked
@dataclass(frozen=True)
class Step(_Numbers):
    """1 in [low, high], both ends included, 0 elsewhere. The ends may be equal, to require an exact count.

    Attributes:
        low: the least raw value with 1.
        high: the greatest raw value with 1.
    """

    low: float
    high: float

    kind: ClassVar[str] = "step"

    def _map(self, values: Values) -> Values:
        inside = ((values >= self.low) & (values <= self.high)).astype(np.float64)
        return np.where(np.isnan(values), np.nan, inside)


@checked
@dataclass(frozen=True)
class Gaussian(_Numbers):
    """exp(−(x − mean)² / (2 sigma²)): 1 at the mean, 0.61 one sigma off, 0.14 two.

    Attributes:
        mean: the best raw value.
        sigma: the distance from the mean at which the transform is 0.61.
    """

    mean: float
    sigma: Positive

    kind: ClassVar[str] = "gaussian"

    def _map(self, values: Values) -> Values:
        return np.exp(-0.5 * ((values - self.mean) / self.sigma) ** 2)


@checked
@dataclass(frozen=True)
class Desirability:
    """The desirability of Derringer and Suich: 1 at the target, 0 from the ends on, powers of straight lines between.

    d = ((x − low) / (target − low))^exponent_low below the target, ((high − x) / (high − target))^exponent_high above
    it: Journal of Quality Technology 12:214 (1980). Without ``high``, more is better, and the transform is 1 from the
    target on; without ``low``, less is better. The desirability of a molecule is the geometric mean of the
    desirabilities of its properties.

    Attributes:
        target: the raw value at which the transform is 1.
        low: the raw value up to which the transform is 0; None: it is 1 everywhere below the target.
        high: the raw value from which on the transform is 0; None: it is 1 everywhere above the target.
        exponent_low: above 1, only values near the target are desirable; below 1, most above `low` are.
        exponent_high: the same for values above the target.

    Example:
        >>> mb.Desirability(target=2, low=0, high=6, exponent_high=2)(np.array([-1.0, 1.0, 2.0, 4.0, 9.0])).tolist()
        [0.0, 0.5, 1.0, 0.25, 0.0]
    """

    target: float
    low: float | None = None
    high: float | None = None
    exponent_low: Positive = 1.0
    exponent_high: Positive = 1.0

    kind: ClassVar[str] = "desirability"

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None:
                object.__setattr__(self, name, checked_number(f"{name} of a {self.kind} transform", value))
        if self.low is None and self.high is None:
            raise ScoringConfigurationError("a desirability transform needs a low or a high end, got neither")
        for name in ("exponent_low", "exponent_high"):
            if getattr(self, name) <= 0:
                raise ScoringConfigurationError(f"{name} must be positive, got {getattr(self, name):g}")
        check_order(f"low of a {self.kind} transform", self.low, "its target", self.target, strict=True)
        check_order(f"the target of a {self.kind} transform", self.target, "its high", self.high, strict=True)

    def settings(self) -> dict[str, Any]:
        return {"kind": self.kind, **asdict(self)}

    def __call__(self, values: Values) -> Values:
        below, above = np.ones_like(values), np.ones_like(values)
        if self.low is not None:
            inside = np.clip(values, self.low, self.target)
            below = ((inside - self.low) / (self.target - self.low)) ** self.exponent_low
        if self.high is not None:
            inside = np.clip(values, self.target, self.high)
            above = ((self.high - inside) / (self.high - self.target)) ** self.exponent_high
        return np.where(np.isnan(values), np.nan, np.where(values < self.target, below, above))


def _sigmoid(exponent: Values) -> Values:
    """Return 1 / (1 + 10^(−u)), computed from 10^(−|u|), which does not overflow."""
    small = np.power(10.0, -np.abs(exponent))
    return np.where(exponent >= 0, 1 / (1 + small), small / (1 + small))


TRANSFORMS = Family("transforms", class_with("settings", "__call__"))
"""The kinds of transforms."""
