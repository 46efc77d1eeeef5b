"""The settings of the course of a training. A configuration is read with them, so that nothing here imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

from molbuffer.kinds import Count, Share, Typed, checked


@checked
@dataclass(frozen=True)
class StopSettings:
    """The conditions that end a training before its last iteration.

    Attributes:
        max_oracle_calls: the most different molecules that the run asks its objective for; None is no limit.
        max_minutes: the most minutes that the run trains for, over all parts of a resumed run; the iteration in which
            they pass is finished. None is no limit.
        patience: the number of iterations without a rise of the mean reward of the best molecules; None is no limit.
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
    """The conditions that end a stage of a run: the stage ends as soon as one of them is met.

    Attributes:
        iterations: the number of iterations of the stage.
        mean_reward: the least mean reward of the live rows over the last ``window`` iterations of the stage; a batch
            without live rows counts with all its rows.
        window: the number of iterations of this mean.
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
    """The settings of the guard of a training against collapse.

    The guard watches the live rows of the policy in training. A bound is crossed when the mean over the window is
    beyond it. After ``patience`` iterations in a row with a crossed bound, the guard acts and empties its windows.

    Attributes:
        action: back: restore the weights of the last good checkpoint, and reduce the learning rate; prior: move the
            weights a part of the way to the prior, and reduce the learning rate; smaller_step: reduce the learning
            rate; stop: end the run.
        min_valid: the least share of the drawn strings that are molecules; 0 does not watch it.
        min_unique: the least share of different molecules among the molecules; 0 does not watch it.
        min_entropy: the least mean of -log of the likelihood of a token, in nats; 0 does not watch it.
        max_kl_prior: the largest divergence from the prior, in nats a molecule (the metric kl_prior); default: any.
        window: the number of iterations whose mean counts.
        patience: the number of iterations in a row in which a bound is crossed, before the guard acts.
        step_factor: the factor on the learning rate each time the guard acts, in (0, 1]; 1 leaves it as it is.
        pull: the part of the way to the prior, in (0, 1], for the action prior.

    Raises:
        ValueError: a share is outside its range, or the action is smaller_step with a step_factor of 1.

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
