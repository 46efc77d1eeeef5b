"""When a stage of a run ends, and from where the next one goes on."""

from typing import Any

import pytest

from molbuffer.samplers.builds.oracle_calls import OracleCalls
from molbuffer.training.batches.batch import TrainingBatch
from molbuffer.training.batches.mixed_batch import BatchOrigin, MixedBatch
from molbuffer.training.course.course import Course, Ending, Observer, StepTaken
from molbuffer.training.course.settings import StageEndSettings
from molbuffer.training.course.stage_end import StageEnd


def step(iteration: int, live: float | None = None, reward: float | None = None) -> StepTaken:
    mixed = MixedBatch(TrainingBatch(iteration, {}, []), BatchOrigin())
    return StepTaken(mixed, {"reward_live": live, "reward": reward}, checkpoint=False)


def test_a_stage_ends_after_its_iterations_and_the_next_begins_there() -> None:
    calls = OracleCalls(count=7)
    first = StageEnd(0, StageEndSettings(iterations=2), calls, last=False)
    assert first.after(step(0)) == {"stage": 0.0}
    assert first.ending() is None
    assert first.state()["stage"] == 0
    first.after(step(1))
    assert first.ending() == Ending("stage 0: 2 iterations", of_stage=True)
    second = StageEnd(1, StageEndSettings(iterations=1), calls, last=True)
    second.load_state(first.state())
    assert second.ending() is None
    second.after(step(2))
    assert second.ending() == Ending("stage 1: 1 iterations")
    again = StageEnd(1, StageEndSettings(iterations=1), calls, last=True)
    again.load_state(second.state())
    assert again.ending() == second.ending(), "a finished run that is resumed ends at once"


def test_it_ends_by_the_calls_of_the_stage() -> None:
    calls = OracleCalls(count=100)
    end = StageEnd(1, StageEndSettings(oracle_calls=3), calls, last=False)
    end.load_state({"stage": 1, "began": 5, "done": 5, "calls_before": 100, "rewards": []})
    calls.admit([["C"], ["N"]])
    end.after(step(5))
    assert end.ending() is None
    calls.admit([["O"], ["S"]])
    end.after(step(6))
    assert end.ending() == Ending("stage 1: 4 oracle calls", of_stage=True)


@pytest.mark.parametrize("live", [True, False])
def test_it_ends_when_the_mean_over_a_full_window_is_high_enough(live: Any) -> None:
    end = StageEnd(0, StageEndSettings(mean_reward=0.5, window=2), OracleCalls(), last=False)
    for iteration, (reward, over) in enumerate([(0.9, False), (0.0, False), (0.9, False), (0.2, True)]):
        end.after(step(iteration, reward if live else None, 0.0 if live else reward))
        assert (end.ending() is not None) is over
    assert end.ending() == Ending("stage 0: a mean reward of 0.55 over 2 iterations", of_stage=True)


def test_the_end_of_the_run_counts_before_that_of_a_stage() -> None:
    class Over(Observer):
        name = "over"

        def ending(self) -> Ending:
            return Ending("over")

    stage = StageEnd(0, StageEndSettings(iterations=1), OracleCalls(), last=False)
    stage.after(step(0))
    assert Course([stage, Over()]).ending() == Ending("over")
    assert Course([stage]).ending() == stage.ending()
    assert Course().ending() is None
    assert Course().checkpoint_files() == {}
