"""Named objectives: the ready-made objectives of benchmarks, and those of imported scores."""

from __future__ import annotations

from dataclasses import dataclass

from molbuffer.scoring.components import PMO, PMO_TASKS, Component, Imported
from molbuffer.scoring.errors import unknown_name
from molbuffer.scoring.objective import Objective

PMO_PREFIX = "pmo:"
IMPORTED_PREFIX = "imported:"


@dataclass(frozen=True)
class NamedObjective:
    """An objective of a benchmark, known by its name.

    Attributes:
        name: the name, such as pmo:zaleplon_mpo.
        about: a description of the goal in one line.
        component: the only component; its raw value is the reward.
    """

    name: str
    about: str
    component: PMO


NAMED_OBJECTIVES: dict[str, NamedObjective] = {
    f"{PMO_PREFIX}{task.name}": NamedObjective(f"{PMO_PREFIX}{task.name}", task.about, PMO(task.name))
    for task in PMO_TASKS.values()
}
"""The objectives by name; ``pmo:`` are those of the PMO benchmark."""


def named_objective(name: str) -> Objective:
    """Return a named objective.

    The benchmarks score molecules as drawn. ``Standardisation(cleanup=False)`` reproduces their values.

    Args:
        name: the name, such as "pmo:zaleplon_mpo", or "imported:NAME" for scores in [0, 1] that were imported as NAME.

    Raises:
        ScoringConfigurationError: no objective has the name.

    Example:
        >>> mb.named_objective("pmo:qed").components[0].component.name
        'pmo:qed'
    """
    return Objective([named_component(name)])


def named_component(name: str) -> Component:
    """Return the only component of a named objective.

    Raises:
        ScoringConfigurationError: no objective has the name.
    """
    check_objective_name(name)
    if name.startswith(IMPORTED_PREFIX):
        return Imported(name.removeprefix(IMPORTED_PREFIX))
    return NAMED_OBJECTIVES[name].component


def check_objective_name(name: str) -> None:
    """Refuse a name that no objective has.

    Raises:
        ScoringConfigurationError: no objective has the name.
    """
    if name not in NAMED_OBJECTIVES and not (name.startswith(IMPORTED_PREFIX) and name != IMPORTED_PREFIX):
        raise unknown_name("objective", name, NAMED_OBJECTIVES)
