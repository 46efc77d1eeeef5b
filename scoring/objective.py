"""The objective: components, what their raw values are worth, and how that adds up to one reward."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from molbuffer.scoring.components import Component
from molbuffer.scoring.errors import ScoringConfigurationError, unknown_name
from molbuffer.scoring.identity import checked_number, sha256_of
from molbuffer.scoring.transforms import Identity, Transform


class Aggregation(StrEnum):
    """How transformed values t_i in [0, 1] with weights w_i make one reward in [0, 1].

    ``arithmetic_mean``: Σ w_i t_i / Σ w_i: one good component makes up for a bad one.
    ``geometric_mean``: (Π t_i^w_i)^(1 / Σ w_i): 0 as soon as one component of positive weight is 0.
    ``product``: Π t_i^w_i: the same order of molecules, on a scale that sinks with every further component.
    """

    ARITHMETIC_MEAN = "arithmetic_mean"
    GEOMETRIC_MEAN = "geometric_mean"
    PRODUCT = "product"


@dataclass(frozen=True)
class WeightedComponent:
    """A component of an objective.

    Attributes:
        weight: at least 0; a component of weight 0 is scored and stored, and must succeed, but does not count.
        transform: from raw values to [0, 1]; components whose raw values do not lie there need one.
    """

    component: Component
    weight: float = 1.0
    transform: Transform = Identity()

    def __post_init__(self) -> None:
        name = self.component.name
        object.__setattr__(self, "weight", checked_number(f"the weight of {name!r}", self.weight))
        if self.weight < 0:
            raise ScoringConfigurationError(f"the weight of {name!r} must be at least 0, got {self.weight:g}")
        if isinstance(self.transform, Identity) and not self.component.bounded:
            raise ScoringConfigurationError(
                f"the raw values of {name!r} are not limited to [0, 1]: give it a transform, such as a sigmoid"
            )


@dataclass(frozen=True)
class Objective:
    """What a good molecule is.

    Attributes:
        components: at least one, of different names, with at least one positive weight.
    """

    components: tuple[WeightedComponent, ...]
    aggregation: Aggregation | str = Aggregation.GEOMETRIC_MEAN

    def __post_init__(self) -> None:
        object.__setattr__(self, "components", tuple(self.components))
        if self.aggregation not in tuple(Aggregation):
            raise unknown_name("aggregation", str(self.aggregation), Aggregation)
        object.__setattr__(self, "aggregation", Aggregation(self.aggregation))
        if not self.components:
            raise ScoringConfigurationError("an objective needs at least one component")
        names = [weighted.component.name for weighted in self.components]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ScoringConfigurationError(f"components need different names, got twice: {', '.join(twice)}")
        if not any(weighted.weight for weighted in self.components):
            raise ScoringConfigurationError("an objective needs a component of positive weight, got only zeros")

    @cached_property
    def sha256(self) -> str:
        """The identity of the objective: of all that decides the reward of given molecules, and not of names."""
        parts = [
            {"version": part.component.version, "weight": part.weight, "transform": part.transform.settings()}
            for part in self.components
        ]
        return sha256_of({"aggregation": str(self.aggregation), "components": parts})

    def rewards(self, raw: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """Return the rewards [n] of n molecules, in [0, 1]; NaN where a component failed or is absent.

        Args:
            raw: the raw values [n] of each component by its name, NaN where it failed or has no value yet.

        Raises:
            KeyError: a component's values are missing altogether.
            ValueError: the arrays are not of one length.
        """
        transformed = np.stack([self._transformed(part, raw) for part in self.components])
        weights = np.array([part.weight for part in self.components])
        rewards = _aggregate(transformed, weights, Aggregation(self.aggregation))
        # A zero times or to the power of an absent value would otherwise decide a reward that is not known.
        return np.where(np.isnan(transformed).any(axis=0), np.nan, rewards)

    @staticmethod
    def _transformed(part: WeightedComponent, raw: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        name = part.component.name
        if name not in raw:
            raise KeyError(f"no raw values of component {name!r}; there are those of {sorted(raw)}")
        return part.transform(np.asarray(raw[name], dtype=np.float64))


def _aggregate(
    transformed: NDArray[np.float64], weights: NDArray[np.float64], aggregation: Aggregation
) -> NDArray[np.float64]:
    """Rewards [n] of transformed values [components, n] under weights [components]."""
    if aggregation is Aggregation.ARITHMETIC_MEAN:
        mean: NDArray[np.float64] = weights @ transformed / weights.sum()
        return np.clip(mean, 0.0, 1.0)
    scale = weights.sum() if aggregation is Aggregation.GEOMETRIC_MEAN else 1.0
    # Powers rather than exp of a sum of logs: 0^w is 0 and 0^0 is 1, without a logarithm of 0.
    product: NDArray[np.float64] = np.prod(transformed ** (weights / scale)[:, None], axis=0)
    return np.clip(product, 0.0, 1.0)
