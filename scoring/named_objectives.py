"""Objectives by name: those of benchmarks, which nobody has to put together."""

from __future__ import annotations

from dataclasses import dataclass

from molbuffer.scoring.components import PMO, PMO_TASKS
from molbuffer.scoring.errors import unknown_name
from molbuffer.scoring.objective import Objective

PMO_PREFIX = "pmo:"


@dataclass(frozen=True)
class NamedObjective:
    """An objective that has a name.

    Attributes:
        name: the name, such as pmo:zaleplon_mpo.
        about: what is wanted, in a line.
        component: its only component, whose value is the reward.
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
    """Return the objective that has a name.

    The benchmarks score molecules as they are drawn: with ``Standardisation(cleanup=False)`` a value is theirs.

    Args:
        name: the name, such as "pmo:zaleplon_mpo".

    Raises:
        ScoringConfigurationError: no objective has the name.

    Example:
        >>> mb.named_objective("pmo:qed").components[0].component.name
        'pmo:qed'
    """
    check_objective_name(name)
    return Objective([NAMED_OBJECTIVES[name].component])


def check_objective_name(name: str) -> None:
    """Refuse a name that no objective has.

    Raises:
        ScoringConfigurationError: none has it.
    """
    if name not in NAMED_OBJECTIVES:
        raise unknown_name("objective", name, NAMED_OBJECTIVES)
