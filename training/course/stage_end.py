"""The end of a stage of a run: after a number of iterations or oracle calls, or at a mean reward."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from molbuffer.samplers import OracleCalls
from molbuffer.training.course.course import Ending, Observer, StepTaken
from molbuffer.training.course.settings import StageEndSettings

STAGE = "stage"
"""The name of the observer in checkpoints."""


@dataclass
class StageEnd(Observer):
    """An observer that ends a stage of a run when one of its conditions is met; the end of the last stage ends the run.

    Attributes:
        number: the number of the stage, from 0.
        settings: the conditions that end the stage.
        calls: the oracle calls of the run.
        last: whether no stage follows.
        position: returns the present iteration, at which a stage begins that no checkpoint has.
        name: the name of the observer in checkpoints.
    """

    number: int
    settings: StageEndSettings
    calls: OracleCalls
    last: bool
    position: Callable[[], int] = lambda: 0
    name: str = STAGE
    _known: bool = False
    _over: str | None = None
    _began: int = 0
    _done: int = 0
    _calls_before: int = 0
    _rewards: list[float] = field(default_factory=list)

    def begin(self) -> None:
        """Begin the stage at the present iteration, unless a checkpoint has its beginning."""
        if not self._known:
            self._known = True
            self._began = self._done = self.position()
            self._calls_before = self.calls.count

    def after(self, step: StepTaken) -> Mapping[str, float | None]:
        """Note the mean reward of an iteration; return ``stage``, the number of the stage."""
        self._done = step.iteration + 1
        reward = step.metrics.get("reward_live")
        reward = step.metrics.get("reward") if reward is None else reward
        if reward is not None:
            self._rewards = [*self._rewards, reward][-self.settings.window :]
        return {"stage": float(self.number)}

    def ending(self) -> Ending | None:
        """Return the condition that is met, as the end of the stage or of the run; None if none is met."""
        if (met := self._over or self._met()) is None:
            return None
        return Ending(f"stage {self.number}: {met}", of_stage=not self.last)

    def state(self) -> Any:
        """Return the number and the progress of the stage that the next iteration belongs to."""
        if not self.last and (met := self._met()) is not None:
            return _state(
                stage=self.number + 1,
                began=self._done,
                done=self._done,
                calls_before=self.calls.count,
                rewards=[],
                before=met,
            )
        return _state(
            stage=self.number,
            began=self._began,
            done=self._done,
            calls_before=self._calls_before,
            rewards=self._rewards,
        )

    def load_state(self, state: Any) -> None:
        """Restore a state: of this stage, go on with it; of an earlier stage, begin; of a later stage, this is over."""
        if state["stage"] > self.number:
            self._known, self._over = True, state.get("before") or "it had ended"
        if state["stage"] != self.number:
            return
        self._known = True
        self._began, self._done, self._calls_before = state["began"], state["done"], state["calls_before"]
        self._rewards = list(state["rewards"])

    def _met(self) -> str | None:
        done, made, end = self._done - self._began, self.calls.count - self._calls_before, self.settings
        if end.iterations is not None and done >= end.iterations:
            return f"{done} iterations"
        if end.oracle_calls is not None and made >= end.oracle_calls:
            return f"{made} oracle calls"
        if end.mean_reward is not None and len(self._rewards) == end.window:
            mean = sum(self._rewards) / end.window
            if mean >= end.mean_reward:
                return f"a mean reward of {mean:.4g} over {end.window} iterations"
        return None


def _state(
    *, stage: int, began: int, done: int, calls_before: int, rewards: list[float], before: str | None = None
) -> dict[str, Any]:
    state = {"stage": stage, "began": began, "done": done, "calls_before": calls_before, "rewards": rewards}
    return state if before is None else {**state, "before": before}
