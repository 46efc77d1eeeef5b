"""The checks during an offline training: validation on held-out rows, and evaluation by fresh draws of the policy.

The checks are a trainable of the fit loop that learns nothing. Therefore they are called before each step, and their
state is part of each checkpoint: a resumed run has the same validations and the same best policy as a run that was
never stopped.
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
        value: the value of the criterion.
        loss: the loss of the held-out rows.
        version: the policy as a row of the lineage.
        files: the files of the policy, by name.
    """

    value: float
    loss: float
    version: PolicyVersion
    files: Mapping[str, bytes]


@dataclass
class OfflineChecks:
    """The validations and evaluations of an offline training, which end it when the policy no longer improves.

    Attributes:
        learner: the learner.
        loader: the batches.
        writer: the writer of the history, which takes the metrics.
        plan: the settings of the validations.
        held_out: the held-out rows, in batches; empty without held-out rows.
        evaluate: evaluates a policy by fresh draws, given the policy, the iteration, and the number of oracle calls of
            the budget that are used or reserved; None draws nothing.
        evaluate_every: the number of steps between evaluations; 0 evaluates at no step.
        kept_calls: the number of oracle calls of the budget that are reserved for the evaluation at the end.
        best: the best policy so far; None before the first validation.
        worse: the number of validations since the best one.
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
        """Validate and evaluate the policy before the step of an iteration, if a validation or evaluation is due."""
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
        """Validate the policy after a number of steps, and keep it in memory if it is the best."""
        found = held_out_quality(self.learner, self.held_out)
        value = found.loss if self.plan.criterion == "loss" else found.best_nll
        version = self.learner.version(self.writer.run_id, iteration)
        if self.best is not None:
            self.worse += 1
        # The policy that the training starts from is validated for comparison, but is not a result of the training.
        if iteration and (self.best is None or value < self.best.value or math.isnan(self.best.value)):
            policy = self.learner.policy()
            files = policy_files(policy.model, policy.vocabulary)
            self.best, self.worse = BestPolicy(value, found.loss, version, files), 0
        metrics = {"validation_loss": found.loss, "validation_best_nll": found.best_nll}
        self.writer.add(iteration, BatchOrigin(), metrics, [version])
        return found

    @property
    def ended(self) -> str | None:
        """Why the training ends early; None if it goes on."""
        if not self.plan.patience or self.worse < self.plan.patience:
            return None
        return (
            f"the {self.plan.criterion} of held-out rows has not improved in {self.worse} validations "
            "(offline.patience)"
        )

    def _end(self) -> None:
        self.loader.plan = replace(self.loader.plan, iterations=self.loader.iteration)

    def version(self, run_id: str, iteration: int) -> PolicyVersion:
        """Return the present policy as a row of the lineage."""
        return self.learner.version(run_id, iteration)

    def publish(self, policies: PolicyStore, run_id: str, iteration: int) -> PolicyVersion:
        """Store the present policy. The best policy is in the checkpoint, and is published at the end.

        Before the end, it could be removed with other old policies of the run.
        """
        return self.learner.publish(policies, run_id, iteration)

    def publish_best(self, policies: PolicyStore) -> PolicyVersion | None:
        """Store the best policy; return its row of the lineage, None without validation."""
        if self.best is None:
            return None
        policies.add(self.best.files)
        return replace(self.best.version, weights_kept=True)

    def checkpoint_files(self, prefix: str) -> Mapping[str, bytes]:
        """Return the best policy and the state of the checks as files; their names begin with ``prefix``."""
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
        """Restore the checks from a checkpoint; a checkpoint of an earlier release may have none."""
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
