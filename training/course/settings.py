"""The settings of the course of a training, which a configuration is read with: nothing here imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

from molbuffer.kinds import Count, Share, Typed, checked


@checked
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
        WrongKeyError: a value is out of its range, or of another type.
    """

    max_oracle_calls: Count | None = None
    max_minutes: Annotated[float, Gt(0)] | None = None
    patience: Count | None = None
    patience_top: Count = 100


@checked
@dataclass(frozen=True)
class StageEndSettings:
    """When a stage of a run ends: as soon as one of the conditions is met.

    Attributes:
        iterations: the number of its iterations.
        mean_reward: the mean reward of the live rows, of all rows in a batch without live ones, over the last
            iterations of the stage.
        window: the number of these iterations.
        oracle_calls: the number of oracle calls of the stage.

    Example:
        >>> with lab.run("stages", objective=objective, seed=0) as run:
        ...     live = mb.ModelSampler("agent", run.agent, size=mb.SamplerSize(p_batch=1.0))
        ...     given = {"batch_size": 4, "samplers": [live]}
        ...     first = run.train(iterations=9, until=mb.StageEndSettings(iterations=2), **given)
        ...     second = run.train(iterations=3, until=mb.StageEndSettings(oracle_calls=99), **given)
        >>> first.ended, second.iterations
        ('stage 0: 2 iterations', 3)
    """

    iterations: Count | None = None
    mean_reward: float | None = None
    window: Count = 10
    oracle_calls: Count | None = None


@dataclass(frozen=True)
class GuardSettings:
    """The guard of a training against collapse, and what it does.

    It looks at what the policy in training draws live. A bound is crossed when the mean over the window is beyond it;
    after ``patience`` iterations in a row in which one is, the guard acts, and begins to watch anew.

    Attributes:
        action: back: to the weights of the last good checkpoint; prior: the weights go a part of the way to those of
            the prior; both then go on with smaller steps. smaller_step: nothing but that; stop: the run ends.
        min_valid: the least share of the drawn strings that are molecules; 0 does not watch it.
        min_unique: the least share of different molecules among these; 0 does not watch it.
        min_entropy: the least mean of -log of the likelihood of a token, in nats; 0 does not watch it.
        max_kl_prior: the largest divergence from the prior, in nats a molecule (the metric kl_prior); default: any.
        window: the number of iterations whose mean counts.
        patience: the number of iterations in a row in which a bound is crossed, before the guard acts.
        step_factor: what the learning rate is multiplied by each time the guard acts; 1 leaves it as it is.
        pull: the part of the way to the prior.

    Raises:
        ValueError: a share is outside its range, or the action would be none.

    Example:
        >>> mb.GuardSettings("smaller_step", min_unique=0.8).step_factor < 1
        True
    """

    action: Literal["back", "smaller_step", "prior", "stop"] = "back"
    min_valid: Share = 0.5
    min_unique: Share = 0.5
    min_entropy: Annotated[float, Ge(0)] = 0.0
    max_kl_prior: Annotated[float | None, Typed(Annotated[float, Gt(0)] | None)] = None
    window: Count = 5
    patience: Count = 3
    step_factor: Annotated[float, Gt(0), Le(1)] = 0.5
    pull: Annotated[float, Gt(0), Le(1)] = 0.5

    def __post_init__(self) -> None:
        if not (0 < self.step_factor <= 1 and 0 < self.pull <= 1):
            raise ValueError(f"step_factor and pull must be in (0, 1], got {self.step_factor} and {self.pull}")
        if self.action == "smaller_step" and self.step_factor == 1:
            raise ValueError("the action smaller_step needs a step_factor below 1, got 1.0")
