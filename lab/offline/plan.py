"""What an offline training is besides its steps: how its policy is judged, and what its loss is kept close to."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Annotated

from annotated_types import Ge, Gt

from molbuffer.lab.offline.relabel import Relabel
from molbuffer.lab.offline.split import ValidationPlan


@dataclass(frozen=True)
class EvaluationPlan:
    """The evaluation of the policy by fresh draws.

    Attributes:
        draws: the draws of an evaluation; 0 draws nothing.
        every: the steps between evaluations; 0 evaluates at the end only.
        max_oracle_calls: the largest number of different molecules that scores are asked for in a run, stored ones
            counted; None is no limit.
        expensive: whether components with ``cost = "high"`` are computed; otherwise an objective that has one gives no
            reward to draws.
        least_sample_size: the least effective sample size of an off-policy estimate.
    """

    draws: Annotated[int, Ge(0)] = 0
    _: KW_ONLY
    every: Annotated[int, Ge(0)] = 0
    max_oracle_calls: Annotated[int, Ge(1)] | None = None
    expensive: bool = False
    least_sample_size: Annotated[float, Gt(0)] = 50.0


@dataclass(frozen=True)
class Judging:
    """How an offline training chooses and judges its rows and its policy.

    Attributes:
        validation: the rows that are held out.
        evaluation: the fresh draws.
        relabel: the rows that have no reward under the objective: "off" leaves them out, "cheap" scores them without
            expensive components, "all" with all of them.
    """

    validation: ValidationPlan = ValidationPlan()
    evaluation: EvaluationPlan = EvaluationPlan()
    relabel: Relabel = "off"
