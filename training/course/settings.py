"""The settings of the course of a training, which a configuration is read with: nothing here imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Gt

from molbuffer.kinds import Count


@dataclass(frozen=True)
class StopSettings:
    """What ends a training before its last iteration.

    Attributes:
        max_oracle_calls: the most different molecules that the run asks its objective for; None is without end.
        max_minutes: the most minutes that the run trains for, those of the parts of a resumed run together; None is
            without end. The iteration in which they pass is done.
        patience: the number of iterations without an improvement of the best molecules; None is without end.
        patience_top: the number of best molecules whose mean reward counts.

    Raises:
        ValueError: a value is out of its range.
    """

    max_oracle_calls: Count | None = None
    max_minutes: Annotated[float, Gt(0)] | None = None
    patience: Count | None = None
    patience_top: Count = 100

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and value <= 0:
                raise ValueError(f"{name} must be greater than 0, got {value}")


@dataclass(frozen=True)
class StageEndSettings:
    """When a stage of a run ends: as soon as one of the conditions is met.

    Attributes:
        iterations: the number of its iterations.
        mean_reward: the mean reward of the live rows, of all rows in a batch without live ones, over the last
            iterations of the stage.
        window: the number of these iterations.
        oracle_calls: the number of oracle calls of the stage.
    """

    iterations: Count | None = None
    mean_reward: float | None = None
    window: Count = 10
    oracle_calls: Count | None = None
