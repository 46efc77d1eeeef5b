"""The objective: components, the transforms of their raw values, and the aggregation to one reward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from molbuffer.kinds import checked
from molbuffer.scoring.components import Component, complete
from molbuffer.scoring.errors import ScoringConfigurationError, ScoringError, unknown_name
from molbuffer.scoring.gates import Conjunction, Gate, any_holds, expanded, order_by_gates
from molbuffer.scoring.identity import checked_number, sha256_of
from molbuffer.scoring.pareto import ParetoFronts, ParetoReference
from molbuffer.scoring.transforms import ROUNDING, Identity, Transform


class Aggregation(StrEnum):
    """The aggregation of transformed values t_i in [0, 1] with weights w_i to one reward in [0, 1].

    ``arithmetic_mean``: Σ w_i t_i / Σ w_i; a good component compensates for a bad one.
    ``geometric_mean``: (Π t_i^w_i)^(1 / Σ w_i); 0 as soon as one component of positive weight is 0.
    ``product``: Π t_i^w_i; ranks molecules as the geometric mean does, with values that fall with every further
        component.
    ``pareto``: the rank among the molecules of a reference by all t_i of positive weight; the size of a weight does not
        matter.
    """

    ARITHMETIC_MEAN = "arithmetic_mean"
    GEOMETRIC_MEAN = "geometric_mean"
    PRODUCT = "product"
    PARETO = "pareto"


Mode = Literal["inline", "backlog"]
"""When a component scores the rows of a build of the buffer: before they are committed, or later, from the backlog."""


@checked
@dataclass(frozen=True)
class WeightedComponent:
    """A component of an objective with its weight and transform.

    Attributes:
        component: the component that computes the raw values.
        weight: at least 0; a component of weight 0 is scored and stored, and must succeed, but has no effect.
        transform: maps raw values to [0, 1]; components whose raw values are not in [0, 1] need one.
        after: a condition on the raw values of other components of the objective, as a text or a Gate. A molecule that
            does not meet it is not scored by this component, and has ``otherwise`` for its transformed value.
        otherwise: the transformed value of a molecule that does not meet ``after``, in [0, 1].
        pessimism: the number k of standard deviations by which a raw value counts as worse than it is: the transformed
            value is the lesser of those at value − k std and value + k std, which is a lower confidence bound where
            more is better, and an upper one where less is. It needs a component that gives standard deviations.
        mode: "inline": builds of the buffer wait for the scores; "backlog": the scores are computed later, from the
            backlog; None: the mode of the objective. The identity of the objective does not depend on it.

    Example:
        >>> mb.WeightedComponent(mb.QED(), weight=2.0).transform.kind
        'identity'
        >>> gated = mb.WeightedComponent(mb.SAScore(), transform=mb.Linear(low=1, high=10), after="qed > 0.5")
        >>> lab.score(["CCO", "CC(=O)Nc1ccc(O)cc1"], mb.Objective([mb.QED(), gated]))["gated"].to_list()
        ['sa_score', None]
    """

    component: Component
    weight: float = 1.0
    transform: Transform = Identity()
    after: Gate | str | None = None
    otherwise: float = 0.0
    pessimism: float = 0.0
    mode: Mode | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "component", complete(self.component))
        name = self.component.name
        object.__setattr__(self, "weight", checked_number(f"the weight of {name!r}", self.weight))
        if self.weight < 0:
            raise ScoringConfigurationError(f"the weight of {name!r} must be at least 0, got {self.weight:g}")
        if isinstance(self.transform, Identity) and not self.component.bounded:
            raise ScoringConfigurationError(
                f"the raw values of {name!r} are not limited to [0, 1]: give it a transform, such as a sigmoid"
            )
        if isinstance(self.after, str):
            object.__setattr__(self, "after", Gate(self.after))
        object.__setattr__(self, "otherwise", checked_number(f"otherwise of {name!r}", self.otherwise))
        if not 0 <= self.otherwise <= 1:
            raise ScoringConfigurationError(f"otherwise of {name!r} must be in [0, 1], got {self.otherwise:g}")
        object.__setattr__(self, "pessimism", checked_number(f"pessimism of {name!r}", self.pessimism))
        if self.pessimism < 0:
            raise ScoringConfigurationError(f"pessimism of {name!r} must be at least 0, got {self.pessimism:g}")
        if self.mode is not None and self.mode not in get_args(Mode):
            raise unknown_name(f"mode of {name!r}", str(self.mode), get_args(Mode))

    @property
    def gate(self) -> Gate | None:
        """The condition under which a molecule is scored; None for any molecule."""
        assert not isinstance(self.after, str)
        return self.after

    def transformed(self, values: NDArray[np.float64], stds: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Return the transformed values [n] of raw values [n], in [0, 1]; NaN where a raw value has none.

        A number outside [0, 1], which a transform that is not molbuffer's own may return, counts as no value.

        Args:
            values: the raw values.
            stds: the standard deviations [n] of the raw values, NaN where there is none; with pessimism, such a
                molecule has no transformed value either. None switches pessimism off.

        Raises:
            ScoringError: the transform returns another number of values.
        """
        found = self._mapped(values)
        if stds is None or not self.pessimism:
            return found
        ends = [values - self.pessimism * stds, values + self.pessimism * stds]
        if isinstance(self.transform, Identity):
            ends = [np.clip(each, 0.0, 1.0) for each in ends]
        # np.minimum keeps NaN.
        return np.where(np.isnan(found), np.nan, np.minimum(*map(self._mapped, ends)))

    def _mapped(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        found = np.asarray(self.transform(values), dtype=np.float64)
        if found.shape != values.shape:
            kind = getattr(self.transform, "kind", type(self.transform).__name__)
            got = f"values of shape {found.shape}, expected {values.shape}"
            raise ScoringError(f"the transform {kind!r} returned {got}")
        inside = (found >= -ROUNDING) & (found <= 1 + ROUNDING)
        return np.where(inside, np.clip(found, 0.0, 1.0), np.nan)


@dataclass(frozen=True, init=False)
class Objective:
    """The reward of a molecule as an aggregation of components.

    Where the gate of a component is not open, the transformed value of the component is ``otherwise``, even if the
    store has a score of it. So the reward of a molecule depends only on the molecule and the objective.

    Attributes:
        components: at least one, with different names and at least one positive weight.
        aggregation: the function of the transformed values that gives the reward.
        reference: the molecules among which ``pareto`` ranks.
        mode: the mode of the components of high cost that have no mode of their own: "backlog": they score the rows of
            builds of the buffer later; "inline": builds wait for their scores.

    Example:
        >>> weighted = mb.WeightedComponent(mb.SAScore(), transform=mb.ReverseSigmoid(low=3, high=5))
        >>> both = mb.Objective([mb.QED(), weighted])
        >>> lab.score(["CCO"], both).columns[3:6]
        ['reward', 'raw_qed', 'transformed_qed']
    """

    components: tuple[WeightedComponent, ...]
    aggregation: Aggregation = Aggregation.GEOMETRIC_MEAN
    reference: ParetoReference | None = None
    mode: Mode = "inline"

    def __init__(
        self,
        components: Sequence[WeightedComponent | Component],
        aggregation: Aggregation | str = Aggregation.GEOMETRIC_MEAN,
        reference: ParetoReference | Mapping[str, Sequence[float]] | str | Path | None = None,
        mode: Mode = "inline",
    ) -> None:
        """Create an objective; a component without a weight has the weight 1 and the identity as its transform.

        A reference may be the raw values by the name of the component, or the path of a CSV table with the columns
        raw_NAME.
        """
        weighted = (each if isinstance(each, WeightedComponent) else WeightedComponent(each) for each in components)
        object.__setattr__(self, "components", tuple(weighted))
        if aggregation not in tuple(Aggregation):
            raise unknown_name("aggregation", str(aggregation), Aggregation)
        object.__setattr__(self, "aggregation", Aggregation(aggregation))
        if not self.components:
            raise ScoringConfigurationError("an objective needs at least one component")
        names = [weighted.component.name for weighted in self.components]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ScoringConfigurationError(f"components need different names, got twice: {', '.join(twice)}")
        if not any(weighted.weight for weighted in self.components):
            raise ScoringConfigurationError("an objective needs a component of positive weight, got only zeros")
        self._check_gates(names)
        object.__setattr__(self, "reference", _reference(self.aggregation, reference, names))
        if mode not in get_args(Mode):
            raise unknown_name("mode of an objective", str(mode), get_args(Mode))
        object.__setattr__(self, "mode", mode)
        if mode == "backlog" and not self.backlog:
            raise ScoringConfigurationError(
                'nothing of the objective goes to the backlog: no component has cost = "high", or all of them have the '
                'mode "inline"; give a component cost = "high", or the mode "backlog"'
            )
        _ = self._fronts

    @cached_property
    def _fronts(self) -> ParetoFronts | None:
        if self.reference is None:
            return None
        points = self._points(self.reference.values)
        points = points[~np.isnan(points).any(axis=1)]
        if not len(points):
            raise ScoringConfigurationError("no molecule of the reference has values of all components")
        return ParetoFronts(points)

    def _points(
        self, raw: Mapping[str, NDArray[np.float64]], stds: Mapping[str, NDArray[np.float64]] | None = None
    ) -> NDArray[np.float64]:
        """Return the transformed values [n, k] of the k components that a rank depends on."""
        transformed = self.transformed(raw, stds)
        return np.stack([transformed[part.component.name] for part in self.components if part.weight], axis=1)

    def _check_gates(self, names: Sequence[str]) -> None:
        for name, gate in self.gates.items():
            for needed in gate.components:
                if needed == name:
                    raise ScoringConfigurationError(f"the gate of {name!r} needs its own value, got {gate.text!r}")
                if needed not in names:
                    others = [each for each in names if each != name]
                    raise unknown_name(f"component in the gate of {name!r}", needed, others)
        order_by_gates(names, self.gates)
        _ = self.open_where

    @cached_property
    def backlog(self) -> frozenset[str]:
        """The names of the components that score the rows of builds of the buffer later."""
        return frozenset(
            part.component.name
            for part in self.components
            if (part.mode or (self.mode if part.component.cost == "high" else "inline")) == "backlog"
        )

    @cached_property
    def gates(self) -> dict[str, Gate]:
        """The gates by the names of their components; a component without a gate has no entry."""
        return {part.component.name: part.gate for part in self.components if part.gate is not None}

    @cached_property
    def open_where(self) -> dict[str, tuple[Conjunction, ...]]:
        """The conditions under which a gate and the gates that it depends on are open, by the name of the component."""
        return {name: expanded(gate, self.gates) for name, gate in self.gates.items()}

    @cached_property
    def sha256(self) -> str:
        """The identity of the objective: the sha256 of everything that the reward of a molecule depends on.

        The names of components have no part in it.
        """
        parts = [
            {"version": part.component.version, "weight": part.weight, "transform": part.transform.settings()}
            | self._gate_identity(part)
            | ({"pessimism": part.pessimism} if part.pessimism else {})
            for part in self.components
        ]
        ranked = {} if self.reference is None else {"reference": self.reference.rows}
        return sha256_of({"aggregation": str(self.aggregation), "components": parts, **ranked})

    def _gate_identity(self, part: WeightedComponent) -> dict[str, Any]:
        """Return the part of a gate in the identity: conditions on versions of components; empty without a gate."""
        if part.gate is None:
            return {}
        versions = {each.component.name: each.component.version for each in self.components}
        alternatives = [
            sorted([versions[each.component], each.operator, each.number] for each in conjunction)
            for conjunction in self.open_where[part.component.name]
        ]
        return {"after": sorted(alternatives), "otherwise": part.otherwise}

    def gated(self, raw: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.bool_]]:
        """Return the mask [n] of the molecules for which a gate is not open, by the name of the gated component.

        Args:
            raw: the raw values [n] of each component that a gate needs, by name, NaN where there is none.
        """
        return {name: ~any_holds(alternatives, raw) for name, alternatives in self.open_where.items()}

    def rewards(
        self, raw: Mapping[str, NDArray[np.float64]], stds: Mapping[str, NDArray[np.float64]] | None = None
    ) -> NDArray[np.float64]:
        """Return the rewards [n] in [0, 1] of n molecules, NaN where a component failed or has no value yet.

        A component whose gate is not open needs no value.

        Args:
            raw: the raw values [n] of each component by name, NaN where it failed or has no value yet.
            stds: the standard deviations [n] of the raw values by name, NaN where there is none; the values of a
                component without an entry are taken as they are.

        Raises:
            KeyError: a component has no array of values.
            ValueError: the arrays have different lengths.
        """
        transformed = np.stack(list(self.transformed(raw, stds).values()))
        weights = np.array([part.weight for part in self.components])
        if self._fronts is not None:
            rewards = self._fronts.rewards(transformed[weights > 0].T)
        else:
            rewards = _aggregate(transformed, weights, self.aggregation)
        # Without this, an absent value of a component of weight 0 would not count: NaN to the power of 0 is 1.
        return np.where(np.isnan(transformed).any(axis=0), np.nan, rewards)

    def transformed(
        self, raw: Mapping[str, NDArray[np.float64]], stds: Mapping[str, NDArray[np.float64]] | None = None
    ) -> dict[str, NDArray[np.float64]]:
        """Return the transformed values [n] of each component by name, ``otherwise`` where its gate is not open.

        Args:
            raw: as ``rewards`` takes them.
            stds: as ``rewards`` takes them.

        Raises:
            KeyError: a component has no array of values.
        """
        missing = [part.component.name for part in self.components if part.component.name not in raw]
        if missing:
            raise KeyError(f"no raw values of component {missing[0]!r}; got those of {sorted(raw)}")
        gated = self.gated(raw)
        found = {}
        for part in self.components:
            name = part.component.name
            values = part.transformed(np.asarray(raw[name], dtype=np.float64), (stds or {}).get(name))
            found[name] = np.where(gated[name], part.otherwise, values) if name in gated else values
        return found


def _reference(
    aggregation: Aggregation,
    reference: ParetoReference | Mapping[str, Sequence[float]] | str | Path | None,
    names: Sequence[str],
) -> ParetoReference | None:
    """Return the reference of ``pareto`` with the values of the named components; None for other aggregations.

    Raises:
        ScoringConfigurationError: ``pareto`` has no reference, or the reference has no values of a component, or
            another aggregation has a reference.
    """
    if (aggregation is Aggregation.PARETO) != (reference is not None):
        problem = "needs a reference" if reference is None else "has no use for a reference"
        raise ScoringConfigurationError(f"the aggregation {aggregation} {problem}")
    if reference is None:
        return None
    if isinstance(reference, str | Path):
        return ParetoReference.read(reference, names)
    values = reference.values if isinstance(reference, ParetoReference) else reference
    if missing := [name for name in names if name not in values]:
        raise ScoringConfigurationError(f"the reference has no values of component {missing[0]!r}")
    return ParetoReference({name: np.asarray(values[name], np.float64).tolist() for name in names})


def _aggregate(
    transformed: NDArray[np.float64], weights: NDArray[np.float64], aggregation: Aggregation
) -> NDArray[np.float64]:
    """Return the rewards [n] of transformed values [components, n] with weights [components]."""
    if aggregation is Aggregation.ARITHMETIC_MEAN:
        mean: NDArray[np.float64] = weights @ transformed / weights.sum()
        return np.clip(mean, 0.0, 1.0)
    scale = weights.sum() if aggregation is Aggregation.GEOMETRIC_MEAN else 1.0
    # Powers instead of exp of a sum of logs: 0^w is 0 and 0^0 is 1, without a logarithm of 0.
    product: NDArray[np.float64] = np.prod(transformed ** (weights / scale)[:, None], axis=0)
    return np.clip(product, 0.0, 1.0)
