"""The builds and trainings of a run of a lab: each is recorded before it is executed, and compared on resume."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from molbuffer.kinds import shown
from molbuffer.lab.context import RunContext
from molbuffer.lab.given import Given, described, described_sampler
from molbuffer.lab.recording import check_filters, check_objective, with_valence
from molbuffer.lab.training import TrainingPlan
from molbuffer.samplers import Policy, Sampler
from molbuffer.scoring import Filter, Objective
from molbuffer.storage import Event, make_build_id
from molbuffer.training import Ending, StageEndSettings, Trainable


class RunStatements:
    """The record of the builds and trainings of a run.

    Args:
        context: the run.
        is_own: returns whether a policy is one of the run itself.
    """

    def __init__(self, context: RunContext, is_own: Callable[[Policy], bool]) -> None:
        self._context, self._is_own = context, is_own
        self._given = Given(context.store, context.run_id)
        self.trainings = 0

    def build(self, sampler: Sampler, n: int, *, iteration: int, number: int) -> None:
        """Record a build before it is made, or check it against the recorded build in its place.

        Args:
            sampler: the sampler.
            n: the number of kept rows.
            iteration: the iteration of the run.
            number: the place of the build among those of the sampler in this iteration.

        Raises:
            RunConflictError: a build with other arguments was made in its place.
        """
        store, run_id = self._context.store, self._context.run_id
        sources: dict[str, str] = {}
        statement = {"n": n, "sampler": described_sampler(sampler, self._is_own, sources), "sources": sources}
        build_id = make_build_id(run_id, iteration, Event.BUILD_BUFFER, sampler.name, number)
        receipts = store.receipts(run_id, iteration=iteration, event=Event.BUILD_BUFFER)
        self._given.build(
            statement,
            iteration=iteration,
            number=number,
            name=sampler.name,
            made=any(receipt.build_id == build_id for receipt in receipts),
        )

    def training(
        self,
        plan: TrainingPlan,
        samplers: Sequence[Sampler],
        trainables: Sequence[Trainable],
        stage: Mapping[str, Any],
    ) -> None:
        """Record a training before it begins, or check it against the recorded training in its place.

        Args:
            plan: the settings of the training.
            samplers: the samplers of the run.
            trainables: the trainers of their latents.
            stage: the description of the stage, as ``stage_statement`` returns it.

        Raises:
            RunConflictError: a training with other arguments was made in its place.
        """
        sources: dict[str, str] = {}
        statement = {
            **training_statement(plan, sources),
            **stage,
            "samplers": {
                each.name: {
                    "p_batch": each.size.p_batch,
                    "buffer_size": each.size.buffer_size,
                    "sampler": described_sampler(each, self._is_own, sources),
                }
                for each in samplers
            },
            "trainables": described("trainables", list(trainables), sources),
            "sources": sources,
        }
        checkpoint = self._context.store.latest_checkpoint(self._context.run_id)
        done = 0 if checkpoint is None else checkpoint.iteration
        self._given.training(statement, number=self.trainings, done=done)
        self.trainings += 1

    def is_over(self, number: int) -> bool:
        """Return whether a training has ended, as the record of a later training shows."""
        return self._given.followed(number)

    def end(self, number: int, ending: Ending | None) -> None:
        """Record why a training has ended before its last iteration; None if it has not."""
        self._given.ended(number, None if ending is None else ending.reason)

    def reason(self, number: int) -> str | None:
        """Return why a training ended before its last iteration; None if it did not."""
        return self._given.reason(number)


def check_stage(until: object, objective: object, filters: object) -> None:
    """Check the arguments of a stage of a run; each may be None.

    Raises:
        TypeError: an argument has the wrong type.
    """
    if not isinstance(until, StageEndSettings | None):
        raise TypeError(f"until: expected StageEndSettings(mean_reward=..., ...), got {shown(until)}")
    if objective is not None:
        check_objective(objective)
    if filters is not None:
        check_filters(filters)


def stage_statement(
    until: StageEndSettings | None, objective: Objective | None, filters: Sequence[Filter] | None
) -> dict[str, Any]:
    """Return a description of the settings of a stage that differ from those of its run, as JSON values."""
    given = {
        "until": None if until is None else asdict(until),
        "objective": None if objective is None else objective.sha256,
        "filters": None if filters is None else [repr(each) for each in with_valence(filters)],
    }
    return {name: value for name, value in given.items() if value is not None}


def training_statement(plan: TrainingPlan, sources: dict[str, str]) -> dict[str, Any]:
    """Return a description of a training without its samplers, as JSON values.

    Args:
        plan: the settings of the training.
        sources: the sha256 of the sources of classes of other packages, by name, which are added.
    """
    batches = plan.batches
    return {
        "batch_size": batches.batch_size,
        "iterations": batches.iterations,
        "build_every": batches.build_every,
        "train_on_invalid": batches.train_on_invalid,
        "replay": asdict(batches.replay),
        "own_only": plan.own_only,
        "checkpoint_every": plan.checkpoint_every,
        "loss": described("losses", plan.loss, sources),
        "learner": described("learners", plan.learner, sources),
        "selection": described("selections", plan.selection, sources),
        "guard": None if plan.guard is None else asdict(plan.guard),
        "diversity": None if plan.diversity is None else asdict(plan.diversity),
    }
