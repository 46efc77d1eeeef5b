"""The component of a task of PMO: the whole objective as one value, as in the benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar

from molbuffer.kinds import Checked, Text, Typed, checked
from molbuffer.scoring.components.base import Cost, score_each
from molbuffer.scoring.components.pmo.tasks import PMO_TASKS
from molbuffer.scoring.components.raw_score import RawScore
from molbuffer.scoring.errors import unknown_name
from molbuffer.scoring.identity import sha256_of

REVISION = 1
"""A number to increase whenever a value changes, so that stored scores of an earlier revision are not used."""


def _check_task(task: str) -> None:
    if task not in PMO_TASKS:
        raise unknown_name("task of PMO", task, PMO_TASKS)


@checked
@dataclass(frozen=True)
class PMO:
    """An objective of the PMO benchmark, in [0, 1]: Gao et al., NeurIPS 2022.

    An objective is one component, although most combine several properties: the benchmark treats it as a black box and
    counts its calls.

    Attributes:
        task: the name in the benchmark, such as zaleplon_mpo; `molbuffer objectives` lists them.
        cost: high: each score is committed as soon as it is computed, and no two processes compute the same score.
        name: the component's name in the history, ``pmo:`` and the task by default.

    Example:
        >>> round(mb.PMO("isomers_c7h8n2o2").values(["Nc1ccc(C(N)=O)cc1O"])[0].value, 3)
        1.0
    """

    task: Annotated[str, Typed(Annotated[Text, Checked(_check_task)])]
    cost: Cost = "low"
    name: str = ""

    kind: ClassVar[str] = "pmo"
    bounded: ClassVar[bool] = True
    parallel: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_task(self.task)
        object.__setattr__(self, "name", self.name or f"{self.kind}:{self.task}")

    @cached_property
    def version(self) -> str:
        return sha256_of({"kind": self.kind, "task": self.task, "revision": REVISION})

    def values(self, molecules: Sequence[str]) -> list[RawScore]:
        return score_each(PMO_TASKS[self.task].score, molecules)
