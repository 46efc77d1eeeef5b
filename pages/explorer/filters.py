"""The filter and the order of molecules: a condition in SQL, and boxes that a reader draws on charts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Order(StrEnum):
    """The order of molecules, named by the molecules that come first."""

    BEST = "best reward"
    NEWEST = "newest"
    OFTEN = "most often drawn"


@dataclass(frozen=True)
class Interval:
    """The closed interval from ``low`` to ``high``."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:.4g} to {self.high:.4g}"


Box = tuple[Interval | None, Interval | None]
"""A box on a chart: the intervals of its horizontal and its vertical axis, each None without one."""
NO_BOX: Box = (None, None)


@dataclass(frozen=True)
class MoleculeFilter:
    """The filter and the order of the molecules that are shown.

    Attributes:
        objective_sha256: the objective of the builds under which molecules must have a reward; None shows all kept
            molecules.
        where: a condition over the columns of ``sample_history``, as a user writes it; empty for none.
        reward: the interval of the best reward of a molecule; None is any.
        iteration: the interval of the iteration in which a molecule was first drawn; None is any.
        components: the intervals of the transformed values of components, by name.
        order: the order of the molecules.
    """

    objective_sha256: str | None = None
    where: str = ""
    reward: Interval | None = None
    iteration: Interval | None = None
    components: Mapping[str, Interval] = field(default_factory=dict)
    order: Order = Order.BEST

    def words(self) -> list[str]:
        """Return the conditions of the filter, each as a text."""
        found = [self.where.strip()] if self.where.strip() else []
        named = {"reward": self.reward, "first iteration": self.iteration, **self.components}
        return found + [f"{name} from {interval}" for name, interval in named.items() if interval is not None]


def drawn_box(selections: Mapping[str, Any], x: str, y: str) -> Box:
    """Return the box that a reader has drawn on a chart, as the intervals of both axes; None for an axis without one.

    Args:
        selections: the selections of a chart as Vega returns them: by selection, the ends of intervals by field.
        x: the field of the horizontal axis.
        y: the field of the vertical axis.
    """
    found: dict[str, Interval] = {}
    for selection in selections.values():
        for name, ends in selection.items() if isinstance(selection, Mapping) else ():
            if name in (x, y) and isinstance(ends, (list, tuple)) and len(ends) == 2:
                low, high = sorted(float(end) for end in ends)
                found[name] = Interval(low, high)
    return found.get(x), found.get(y)
