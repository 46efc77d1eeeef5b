"""Settings of validation, evaluation and relabelling of an offline training. Nothing here imports torch or RDKit."""

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
    """The held-out rows of an offline training, and the validations on them.

    Attributes:
        share: the share of the rows that are held out, in [0, 1); 0 holds none out.
        split: the groups of rows that are held out as a whole: "scaffold", the molecules of a Bemis-Murcko scaffold;
            "run", the rows of a run; "random", the rows of a molecule.
        every: the number of steps between validations.
        patience: the number of validations without improvement after which the training ends; 0 never ends it.
        criterion: the value that must fall: "loss", the loss of the held-out rows, or "best_likelihood", the mean
            negative log-likelihood of the tenth of held-out rows with the highest rewards.

    Raises:
        WrongKeyError: a field has a wrong value.
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
        draws: the number of draws of an evaluation; 0 draws nothing.
        every: the number of steps between evaluations; 0 evaluates at the end only.
        max_oracle_calls: the most different molecules that scores are asked for in a run, stored scores included; None
            is no limit. ``draws`` of them, or all if there are fewer, are reserved for the evaluation at the end.
        expensive: compute components with ``cost = "high"``; otherwise draws have no reward under an objective with
            such a component.
        least_sample_size: the least effective sample size of an off-policy estimate.

    Raises:
        WrongKeyError: a field has a wrong value.
    """

    draws: NotNegative = 0
    _: KW_ONLY
    every: NotNegative = 0
    max_oracle_calls: Count | None = None
    expensive: bool = False
    least_sample_size: Annotated[float, Gt(0)] = 50.0

    @property
    def kept_calls(self) -> int:
        """The number of ``max_oracle_calls`` that are reserved for the evaluation at the end; 0 without a limit."""
        return 0 if self.max_oracle_calls is None else min(self.draws, self.max_oracle_calls)


@dataclass(frozen=True)
class Judging:
    """The validation, evaluation and relabelling of an offline training.

    Attributes:
        validation: the held-out rows, and the validations on them.
        evaluation: the evaluation by fresh draws.
        relabel: the treatment of rows without a reward under the objective: "off" leaves them out, "cheap" scores them
            without computing expensive components, "all" computes all components.

    Raises:
        TypeError: ``validation`` or ``evaluation`` has another type.
        WrongKeyError: ``relabel`` has a wrong value.
    """

    validation: ValidationPlan = ValidationPlan()
    evaluation: EvaluationPlan = EvaluationPlan()
    relabel: Relabel = "off"

    def __post_init__(self) -> None:
        _check_plan("validation", self.validation, ValidationPlan, "share=0.1")
        _check_plan("evaluation", self.evaluation, EvaluationPlan, "draws=1000")
        # The default is made when the module is imported, which must stay fast.
        if self.relabel != "off":
            check_values(Judging, {"relabel": self.relabel})


def _check_plan(field: str, value: object, plan: type[Any], example: str) -> None:
    if not isinstance(value, plan):
        raise TypeError(f"Judging: {field}: expected a plan such as {plan.__name__}({example}), got {value!r}")
