"""How an offline training chooses and judges its rows and its policy. Nothing here imports torch or RDKit."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Lt

from molbuffer.kinds import Count, NotNegative, check_values, checked

Relabel = Literal["off", "cheap", "all"]
SplitBy = Literal["scaffold", "run", "random"]
Criterion = Literal["loss", "best_likelihood"]


@checked
@dataclass(frozen=True)
class ValidationPlan:
    """Which rows are held out, and what is done with them.

    Attributes:
        share: the share of the rows that are held out, in [0, 1); 0 holds none out.
        split: what is held out as a whole: "scaffold" the molecules of a Bemis-Murcko scaffold, "run" the rows of a
            run, "random" the rows of a molecule.
        every: the steps between validations.
        patience: the validations without improvement after which training ends; 0 never ends it.
        criterion: what must fall: "loss", the loss of the held-out rows, or "best_likelihood", the mean negative
            log-likelihood of the best tenth of them.

    Raises:
        WrongKeyError: a value is none that the field takes.
    """

    share: Annotated[float, Ge(0), Lt(1)] = 0.0
    _: KW_ONLY
    split: SplitBy = "scaffold"
    every: Count = 50
    patience: NotNegative = 0
    criterion: Criterion = "loss"


@checked
@dataclass(frozen=True)
class EvaluationPlan:
    """The evaluation of the policy by fresh draws.

    Attributes:
        draws: the draws of an evaluation; 0 draws nothing.
        every: the steps between evaluations; 0 evaluates at the end only.
        max_oracle_calls: the largest number of different molecules that scores are asked for in a run, stored ones
            counted; None is no limit. ``draws`` of them, or all if there are fewer, are kept for the evaluation at the
            end.
        expensive: whether components with ``cost = "high"`` are computed; otherwise an objective that has one gives no
            reward to draws.
        least_sample_size: the least effective sample size of an off-policy estimate.

    Raises:
        WrongKeyError: a value is none that the field takes.
    """

    draws: NotNegative = 0
    _: KW_ONLY
    every: NotNegative = 0
    max_oracle_calls: Count | None = None
    expensive: bool = False
    least_sample_size: Annotated[float, Gt(0)] = 50.0

    @property
    def kept_calls(self) -> int:
        """The molecules of ``max_oracle_calls`` that are kept for the evaluation at the end."""
        return 0 if self.max_oracle_calls is None else min(self.draws, self.max_oracle_calls)


@dataclass(frozen=True)
class Judging:
    """How an offline training chooses and judges its rows and its policy.

    Attributes:
        validation: the rows that are held out.
        evaluation: the fresh draws.
        relabel: the rows that have no reward under the objective: "off" leaves them out, "cheap" scores them without
            expensive components, "all" with all of them.

    Raises:
        TypeError: ``validation`` or ``evaluation`` is no plan.
        WrongKeyError: ``relabel`` is none of its values.
    """

    validation: ValidationPlan = ValidationPlan()
    evaluation: EvaluationPlan = EvaluationPlan()
    relabel: Relabel = "off"

    def __post_init__(self) -> None:
        _check_plan("validation", self.validation, ValidationPlan, "share=0.1")
        _check_plan("evaluation", self.evaluation, EvaluationPlan, "draws=1000")
        # The default is made while modules are imported, which must stay fast.
        if self.relabel != "off":
            check_values(Judging, {"relabel": self.relabel})


def _check_plan(field: str, value: object, plan: type[Any], example: str) -> None:
    if not isinstance(value, plan):
        raise TypeError(f"Judging: {field}: expected a plan such as {plan.__name__}({example}), got {value!r}")
