"""What an offline training looks at on its way: held-out rows, and fresh draws of its policy.

It is a trainable of the fit loop, which learns nothing: so it is asked before each step, its state is part of each
checkpoint, and a run that is gone on with has validated as often, and has the same best policy, as one that was never
stopped.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from molbuffer.lab.offline.plan import ValidationPlan
from molbuffer.lab.offline.report import evaluation_metrics
from molbuffer.samplers import Policy, policy_files
from molbuffer.storage import Build, Place, PolicyStore, PolicyVersion
from molbuffer.training import (
    BatchOrigin,
    DrawEvaluation,
    HeldOutQuality,
    HistoryWriter,
    Learner,
    MixedLoader,
    ReplayedLatents,
    TrainingBatch,
    held_out_quality,
)

_STATE = "held-out.json"


@dataclass(frozen=True)
class BestPolicy:
    """The policy that was best on the held-out rows so far.

    Attributes:
        value: what the criterion gave.
        loss: the loss of the held-out rows.
        version: its row of the lineage.
        files: its files.
    """

    value: float
    loss: float
    version: PolicyVersion
    files: Mapping[str, bytes]


@dataclass
class OfflineChecks:
    """Validates and evaluates the policy of an offline training, and ends it when it no longer gains.

    Attributes:
        learner: the learner.
        loader: its batches.
        writer: takes the metrics.
        plan: the validations.
        held_out: the held-out rows, in batches; none without any.
        evaluate: draws from a policy; a function of the policy, the iteration, and the number of molecules of the
            budget that it may not ask scores for: they were asked for before, or are kept. None draws nothing.
        evaluate_every: the steps between evaluations; 0 evaluates at no step.
        kept_calls: the molecules of the budget that are kept for the evaluation at the end.
        best: the best policy so far; None before the first validation.
        worse: the validations since then.
        oracle_calls: the number of molecules that scores were asked for.
    """

    learner: Learner
    loader: MixedLoader
    writer: HistoryWriter
    plan: ValidationPlan = ValidationPlan()
    held_out: Sequence[TrainingBatch] = ()
    evaluate: Callable[[Policy, int, int], DrawEvaluation] | None = None
    evaluate_every: int = 0
    kept_calls: int = 0
    best: BestPolicy | None = field(default=None, init=False)
    worse: int = field(default=0, init=False)
    oracle_calls: int = field(default=0, init=False)

    name = "held_out"

    def update(self, builds: Sequence[Build], replayed: ReplayedLatents | None = None) -> Mapping[str, float | None]:
        """Validate and evaluate the policy as it is before the step of an iteration, when that is due."""
        # The loader has counted the batch of this step already.
        iteration = self.loader.iteration - 1
        if self.held_out and iteration % self.plan.every == 0:
            self.validate(iteration)
            if self.ended is not None:
                self._end()
        if self.evaluate is not None and self.evaluate_every and iteration and iteration % self.evaluate_every == 0:
            found = self.evaluate(self.learner.policy(), iteration, self.oracle_calls + self.kept_calls)
            self.oracle_calls += found.oracle_calls
            version = self.learner.version(self.writer.run_id, iteration)
            self.writer.add(iteration, BatchOrigin(), evaluation_metrics(found), [version])
        return {}

    def validate(self, iteration: int) -> HeldOutQuality:
        """Validate the policy as it is after a number of steps, and remember it if it is the best."""
        found = held_out_quality(self.learner, self.held_out)
        value = found.loss if self.plan.criterion == "loss" else found.best_nll
        version = self.learner.version(self.writer.run_id, iteration)
        if self.best is not None:
            self.worse += 1
        # The policy that training starts from has a loss to compare with, and is no result of the training.
        if iteration and (self.best is None or value < self.best.value or math.isnan(self.best.value)):
            policy = self.learner.policy()
            files = policy_files(policy.model, policy.vocabulary)
            self.best, self.worse = BestPolicy(value, found.loss, version, files), 0
        metrics = {"validation_loss": found.loss, "validation_best_nll": found.best_nll}
        self.writer.add(iteration, BatchOrigin(), metrics, [version])
        return found

    @property
    def ended(self) -> str | None:
        """Why the training ends early; None while it does not."""
        if not self.plan.patience or self.worse < self.plan.patience:
            return None
        return (
            f"the {self.plan.criterion} of held-out rows has not fallen in {self.worse} validations (offline.patience)"
        )

    def _end(self) -> None:
        self.loader.plan = replace(self.loader.plan, iterations=self.loader.iteration)

    def version(self, run_id: str, iteration: int) -> PolicyVersion:
        """Return the present policy as a row of the lineage."""
        return self.learner.version(run_id, iteration)

    def publish(self, policies: PolicyStore, run_id: str, iteration: int) -> PolicyVersion:
        """Keep the present policy in the store: the best one is in the checkpoint, and is published at the end.

        Until then it might be removed with other old policies of the run, while it is published again.
        """
        return self.learner.publish(policies, run_id, iteration)

    def publish_best(self, policies: PolicyStore) -> PolicyVersion | None:
        """Keep the best policy in the store; None without validation."""
        if self.best is None:
            return None
        policies.add(self.best.files)
        return replace(self.best.version, weights_kept=True)

    def checkpoint_files(self, prefix: str) -> Mapping[str, bytes]:
        """Return the best policy, and how long ago it was found."""
        state: dict[str, Any] = {"worse": self.worse, "oracle_calls": self.oracle_calls}
        if self.best is None:
            return {f"{prefix}{_STATE}": json.dumps(state).encode()}
        of = self.best.version
        state |= {
            "value": self.best.value,
            "loss": self.best.loss,
            "sha256": of.sha256,
            "kind": of.kind,
            "parent": of.parent_sha256,
        }
        state |= {"iteration": of.iteration, "files": sorted(self.best.files)}
        files = {f"{prefix}{name}": content for name, content in self.best.files.items()}
        return {f"{prefix}{_STATE}": json.dumps(state).encode(), **files}

    def restore(self, folder: Place, prefix: str) -> None:
        """Go back to a checkpoint; one of an earlier release knows of no validation."""
        if f"{prefix}{_STATE}" not in [file.name for file in folder.iterdir()]:
            return
        state = json.loads((folder / f"{prefix}{_STATE}").read_text())
        self.worse, self.oracle_calls = state["worse"], state["oracle_calls"]
        if "value" in state:
            files = {name: (folder / f"{prefix}{name}").read_bytes() for name in state["files"]}
            version = PolicyVersion(
                state["sha256"], state["kind"], state["parent"], self.writer.run_id, state["iteration"]
            )
            self.best = BestPolicy(state["value"], state["loss"], version, files)
        if self.ended is not None:
            self._end()
