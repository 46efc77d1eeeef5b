"""Which molecules are looked at, and in which order: by a condition in SQL, and by boxes that are drawn on charts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Order(StrEnum):
    """The order of molecules, each by what comes first."""

    BEST = "best reward"
    NEWEST = "newest"
    OFTEN = "most often drawn"


@dataclass(frozen=True)
class Interval:
    """The values from ``low`` to ``high``, both among them."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:.4g} to {self.high:.4g}"


Box = tuple[Interval | None, Interval | None]
"""What is drawn on a chart: the intervals of its axes, across and up."""
NO_BOX: Box = (None, None)


@dataclass(frozen=True)
class MoleculeFilter:
    """The molecules that are looked at.

    Attributes:
        objective_sha256: those with a reward under this objective of their own builds; None: all that filters kept.
        where: a condition over the columns of ``sample_history``, as a user writes it; empty for none.
        reward: the best reward of the molecule.
        iteration: the iteration in which it was first drawn.
        components: the transformed value of each of some components, by name.
        order: of the molecules.
    """

    objective_sha256: str | None = None
    where: str = ""
    reward: Interval | None = None
    iteration: Interval | None = None
    components: Mapping[str, Interval] = field(default_factory=dict)
    order: Order = Order.BEST

    def words(self) -> list[str]:
        """Return what is filtered by, a text each."""
        found = [self.where.strip()] if self.where.strip() else []
        named = {"reward": self.reward, "first iteration": self.iteration, **self.components}
        return found + [f"{name} from {interval}" for name, interval in named.items() if interval is not None]


def drawn_box(selections: Mapping[str, Any], x: str, y: str) -> Box:
    """Return the box that a reader has drawn on a chart, as the intervals of both axes; None where there is none.

    Args:
        selections: those of a chart as Vega has them: the ends of the intervals by field, by selection.
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
