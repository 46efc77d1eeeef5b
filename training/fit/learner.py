"""The learner: the policy in training, the prior it is held to, the loss and the optimizer."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from molbuffer.samplers.policies.policy import Policy, fingerprint, policy_files
from molbuffer.storage import Place, PolicyFiles
from molbuffer.storage.records import PolicyVersion
from molbuffer.training.batches.batch import TrainingBatch
from molbuffer.training.checkpoint import checkpoint_files, restore
from molbuffer.training.errors import DivergedError
from molbuffer.training.fit.conditioning import condition_for
from molbuffer.training.losses import Loss


@dataclass(frozen=True)
class LearnerSettings:
    """How a batch changes the policy.

    Attributes:
        sigma: weight of the reward in the loss. learning_rate: of Adam. gradient_norm: the largest norm of a gradient.
    """

    sigma: float = 128.0
    learning_rate: float = 1e-4
    gradient_norm: float = 1.0


class Learner:
    """Trains a copy of a prior."""

    def __init__(self, prior: Policy, loss: Loss, settings: LearnerSettings) -> None:
        self.prior, self._loss, self._settings = prior, loss, settings
        self._model = copy.deepcopy(prior.model)
        self._module: nn.Module = self._model.as_module()
        self._optimizer = torch.optim.Adam(self._module.parameters(), settings.learning_rate)
        self._parent = prior.sha256
        self._current: Policy | None = prior

    def step(self, batch: TrainingBatch) -> float:
        """One gradient step; returns the loss before it.

        Raises:
            DivergedError: the loss is infinite or NaN; the policy stays as it is.
            UnsuitableDataError: a conditional policy is given rows without a source.
        """
        # One condition for both: under another, the difference of the likelihoods would not be the policy's doing.
        condition = condition_for(self.prior.model, batch)
        with torch.no_grad():
            prior = self.prior.model.log_probs(batch.tokens, batch.lengths, condition=condition).sum(1)
        agent = self._model.log_probs(batch.tokens, batch.lengths, condition=condition).sum(1)
        loss = self._loss.function(agent, prior, batch.rewards, self._settings.sigma)
        if not bool(loss.isfinite()):
            raise DivergedError(
                f"the loss of iteration {batch.iteration} is {float(loss.detach()):g}, expected a finite number: lower "
                f"the learning rate ({self._settings.learning_rate:g}) or sigma ({self._settings.sigma:g})"
            )
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._module.parameters(), self._settings.gradient_norm)
        self._optimizer.step()
        if self._current is not None:
            self._parent = self._current.sha256
        self._current = None
        return float(loss.detach())

    def policy(self) -> Policy:
        """The policy as it is now, under the sha256 of its present weights; it goes on changing with each step."""
        if self._current is None:
            vocabulary = self.prior.vocabulary
            self._current = Policy(self._model, vocabulary, fingerprint(self._model, vocabulary))
        return Policy(self._model, self._current.vocabulary, self._current.sha256)

    def version(self, run_id: str, iteration: int) -> PolicyVersion:
        """The present policy as a row of the lineage, without weights; its parent is the last version that drew."""
        policy = self.policy()
        parent = self._parent if self._parent != policy.sha256 else None
        return PolicyVersion(policy.sha256, policy.kind, parent, run_id, iteration)

    def publish(self, policies: PolicyFiles, run_id: str, iteration: int) -> PolicyVersion:
        """Puts the present weights into the store's policy folder, from where any process can draw with them."""
        policy = self.policy()
        if policy.sha256 != self.prior.sha256:  # the prior's own files are in the store, perhaps in half precision
            policies.add(policy_files(policy.model, policy.vocabulary))
        return replace(self.version(run_id, iteration), weights_kept=True)

    def checkpoint_files(self, state: Mapping[str, Any]) -> dict[str, bytes]:
        """All that is needed to go on training later, with ``state`` (JSON values) of whoever trains."""
        return checkpoint_files(self._module, self._optimizer, {**state, "parent": self._parent})

    def restore(self, folder: Place) -> dict[str, Any]:
        """Goes back to a checkpoint and returns the ``state`` saved with it."""
        state = restore(folder, self._module, self._optimizer)
        self._parent, self._current = state["parent"], None
        return state
