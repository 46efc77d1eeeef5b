"""The learner: the policy in training, the prior that the loss keeps it close to, the loss and the optimizer."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from molbuffer.samplers import Policy, fingerprint, policy_files
from molbuffer.samplers.models import DrawnStates, Precision, has_bfloat16, keeping, likelihoods, products_in
from molbuffer.storage import Place, PolicyStore, PolicyVersion
from molbuffer.training.adam import Adam
from molbuffer.training.batches import BUFFER, TrainingBatch
from molbuffer.training.checkpoint import checkpoint_files, load_optimizer_tensors, optimizer_tensors, restore
from molbuffer.training.errors import AgentMismatchError, DivergedError
from molbuffer.training.fit.conditioning import condition_for, groups_of
from molbuffer.training.fit.loss_state import LossInTraining
from molbuffer.training.fit.prior_likelihoods import PriorLikelihoods, found_independent
from molbuffer.training.fit.settings import LearnerSettings
from molbuffer.training.fit.step_metrics import step_metrics
from molbuffer.training.fit.suitability import check_rows
from molbuffer.training.losses import Loss, ScoredSequences


def check_agent(agent: Policy, prior: Policy) -> None:
    """Check that a loss can compare the likelihoods of an agent with those of the prior.

    Raises:
        AgentMismatchError: the agent has another vocabulary or another kind of condition than the prior.
    """
    if agent.vocabulary.sha256 != prior.vocabulary.sha256:
        others = sorted(set(agent.vocabulary.tokens) ^ set(prior.vocabulary.tokens))
        few = ", ".join(map(repr, others[:5])) + (", ..." if len(others) > 5 else "")
        differ = f"only one of them has {few}" if others else "in another order or notation"
        raise AgentMismatchError(
            f"the agent {agent.sha256[:12]} has another vocabulary than the prior {prior.sha256[:12]} "
            f"({len(agent.vocabulary.tokens)} and {len(prior.vocabulary.tokens)} tokens; {differ}): start from a "
            "policy that was trained from this prior, or take the prior that the agent was trained from"
        )
    if agent.model.condition_kind is not prior.model.condition_kind:
        raise AgentMismatchError(
            f"the agent {agent.sha256[:12]} is a {agent.kind} and the prior {prior.sha256[:12]} a {prior.kind}, which "
            "draw under different conditions; take two policies of one kind"
        )


def _precision(settings: LearnerSettings, device: torch.device) -> Precision:
    if settings.precision != "auto":
        return settings.precision
    return "mixed" if has_bfloat16(device) else "float32"


class Learner:
    """A copy of a policy in training, with its loss and optimizer, on the device of the prior.

    Attributes:
        prior: the policy that the loss keeps the trained policy close to.
        metrics: the metrics of the last step, by name.
        reminding: the names of the live samplers that draw from the best agent of the run.
    """

    def __init__(
        self,
        prior: Policy,
        loss: Loss,
        settings: LearnerSettings = LearnerSettings(),
        agent: Policy | None = None,
    ) -> None:
        """Begin a training.

        Args:
            prior: the policy that the loss keeps the trained policy close to.
            loss: the loss.
            settings: the settings.
            agent: the policy that training starts from; None is the prior.

        Raises:
            AgentMismatchError: the agent has another vocabulary than the prior, or another condition.
        """
        self.prior, self._loss, self._settings = prior, loss, settings
        self._start = agent or prior
        check_agent(self._start, prior)
        self._model = copy.deepcopy(self._start.model)
        device = self._model.device
        self._optimizer = Adam(self._model.parameters(), settings.learning_rate)
        self._precision: Precision = _precision(settings, device)
        self._prior_likelihoods = PriorLikelihoods.of(prior, self._precision)
        self._drawn_states = DrawnStates(self._model, wanted=False)
        self._drawn_elsewhere: frozenset[str] | None = None
        self._loss_in_training = LossInTraining(loss, device, len(prior.vocabulary))
        self._parent = self._start.sha256
        self._current: Policy | None = self._start
        self.metrics: Mapping[str, float | None] = {}
        self.reminding: frozenset[str] = frozenset()

    def step(self, batch: TrainingBatch) -> float:
        """Take one gradient step on a batch of any device, and return the loss before it.

        Raises:
            DivergedError: the loss is infinite or NaN; the policy stays as it is.
            UnsuitableDataError: the policy is conditional, and a row has no source; or the loss is not valid on a row.
            PluginError: the loss or a model failed, or returned a value of another type than expected.
        """
        check_rows(self._loss, batch)
        batch = batch.to(self._model.device)
        # One condition for agent and prior: otherwise their likelihoods would differ by more than the weights.
        condition = condition_for(self.prior.model, batch)
        prior = self._prior_likelihoods(batch, condition)
        with products_in(self._precision), keeping(self._drawn_states):
            agent = likelihoods(self._model, batch.tokens, batch.lengths, condition=condition)
        self._keep_states(frozenset(batch.origins))
        rows = ScoredSequences(
            agent=agent,
            prior=prior,
            behaviour=batch.behaviour_log_probs,
            lengths=batch.lengths,
            rewards=batch.learned_rewards,
            groups=groups_of(condition),
            weights=batch.columns.get("weights"),
            tokens=batch.tokens,
            reminders=self._reminders(batch),
        )
        loss = self._loss_in_training(rows)
        if not bool(loss.isfinite()):
            raise DivergedError(
                f"the loss of iteration {batch.iteration} is {float(loss.detach()):g}, expected a finite number: lower "
                f"the learning rate ({self._settings.learning_rate:g}), or change the loss ({self._loss})",
                loss=float(loss.detach()),
            )
        self._optimizer.zero_grad()
        self._loss_in_training.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self._model.parameters(), self._settings.gradient_norm)
        self._optimizer.step()
        self._loss_in_training.step()
        self.metrics = step_metrics(self._loss, rows, norm, self._loss_in_training.metrics)
        self._forget_version()
        return float(loss.detach())

    def _keep_states(self, origins: frozenset[str]) -> None:
        """Decide whether the model keeps the hidden states of its next draws, for the likelihoods of the next batch.

        It keeps them if a batch of these origins can consist of the policy's own draws alone. A resumed training may
        decide otherwise and still takes the same steps, since states are kept only where they are bit by bit those that
        would be computed again.
        """
        if self._drawn_states.wanted and not self._drawn_states.used:
            self._drawn_elsewhere = origins
        may_be_own = BUFFER not in origins and origins != self._drawn_elsewhere
        self._drawn_states.wanted = may_be_own and self._rows_are_independent

    @cached_property
    def _rows_are_independent(self) -> bool:
        if self._start.model is self.prior.model:
            return self._prior_likelihoods.independent
        return found_independent(self._start.model, self._precision)

    def keep_likelihoods(self) -> None:
        """Write the prior's likelihoods of this training to the cache folder, for later trainings."""
        self._prior_likelihoods.keep()

    def _reminders(self, batch: TrainingBatch) -> Tensor | None:
        if not self.reminding:
            return None
        drawn_by_best = [origin in self.reminding for origin in batch.origins]
        return torch.tensor(drawn_by_best, device=batch.tokens.device)

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next steps."""
        return self._optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        self._optimizer.learning_rate = rate

    def pull_to_prior(self, part: float) -> None:
        """Move the weights a part of the way to those of the prior, and reset the moments of the optimizer.

        If the prior has another architecture, move towards the policy that the training started from.

        Args:
            part: the part of the way, in (0, 1].
        """
        own, prior = self._model.state_dict(), self.prior.model.state_dict()
        if {name: each.shape for name, each in own.items()} != {name: each.shape for name, each in prior.items()}:
            prior = self._start.model.state_dict()
        moved = {name: torch.lerp(each, prior[name], part) for name, each in own.items() if each.is_floating_point()}
        self._model.load_state_dict(own | moved)
        self._optimizer.forget()
        self._forget_version()

    def saved(self) -> dict[str, Tensor]:
        """Return a copy of the weights, the state of the optimizer and the state of the loss, as tensors by name."""
        tensors = optimizer_tensors(self._optimizer)
        for name, module in self._modules().items():
            tensors |= {f"{name}.{key}": tensor for key, tensor in module.state_dict().items()}
        return {name: tensor.detach().clone() for name, tensor in tensors.items()}

    def go_back(self, saved: Mapping[str, Tensor]) -> None:
        """Restore the tensors that ``saved`` returned; the learning rate stays."""
        load_optimizer_tensors(self._optimizer, {name: tensor.clone() for name, tensor in saved.items()})
        for name, module in self._modules().items():
            start = f"{name}."
            # A loss of a later stage of the run has no saved state.
            if found := {k.removeprefix(start): v for k, v in saved.items() if k.startswith(start)}:
                module.load_state_dict(found)
        self._forget_version()

    def _modules(self) -> dict[str, nn.Module]:
        loss = self._loss_in_training.module
        return {"model": self._model} | ({} if loss is None else {f"loss-{type(self._loss).__name__}": loss})

    def _forget_version(self) -> None:
        if self._current is not None:
            self._parent = self._current.sha256
        self._current = None
        self._drawn_states.forget()

    @torch.no_grad()
    def scored(self, batch: TrainingBatch) -> tuple[ScoredSequences, float]:
        """Return the likelihoods of the rows of a batch and their loss, without learning.

        Raises:
            UnsuitableDataError: the policy is conditional, and a row has no source; or the loss is not valid on a row.
        """
        check_rows(self._loss, batch)
        batch = batch.to(self._model.device)
        condition = condition_for(self.prior.model, batch)
        with products_in(self._precision):
            prior, agent = (
                model.log_probs(batch.tokens, batch.lengths, condition=condition)
                for model in (self.prior.model, self._model)
            )
        rows = ScoredSequences(
            agent=agent,
            prior=prior,
            behaviour=batch.behaviour_log_probs,
            lengths=batch.lengths,
            rewards=batch.rewards,
            groups=groups_of(condition),
            weights=None,
            tokens=batch.tokens,
        )
        return rows, float(self._loss_in_training.unchanged()(rows))

    @property
    def loss(self) -> Loss:
        """The loss, with its settings."""
        return self._loss

    def policy(self) -> Policy:
        """Return the policy under the sha256 of its present weights; further steps change its model."""
        if self._current is None:
            vocabulary = self.prior.vocabulary
            self._current = Policy(self._model, vocabulary, fingerprint(self._model, vocabulary))
        return Policy(self._model, self._current.vocabulary, self._current.sha256, self._precision, self._drawn_states)

    def version(self, run_id: str, iteration: int) -> PolicyVersion:
        """Return the present policy as a row of the lineage, without weights.

        The parent is the last earlier version that has drawn rows.
        """
        policy = self.policy()
        parent = self._parent if self._parent != policy.sha256 else None
        return PolicyVersion(policy.sha256, policy.kind, parent, run_id, iteration)

    def publish(self, policies: PolicyStore, run_id: str, iteration: int) -> PolicyVersion:
        """Store the present weights, so that any process can draw with them; return their row of the lineage."""
        policy = self.policy()
        if policy.sha256 != self._start.sha256:  # the files of the first policy are stored, perhaps in half precision
            policies.add(policy_files(policy.model, policy.vocabulary))
        return replace(self.version(run_id, iteration), weights_kept=True)

    def checkpoint_files(self, state: Mapping[str, Any]) -> dict[str, bytes]:
        """Return the files from which the training can be resumed.

        Args:
            state: JSON values of the caller, which ``restore`` returns.
        """
        more = {"parent": self._parent, "policy": self.policy().sha256}
        files = checkpoint_files(self._model, self._optimizer, {**state, **more})
        return files | self._loss_in_training.checkpoint_files()

    def restore(self, folder: Place) -> dict[str, Any]:
        """Restore a checkpoint, and return the state of the caller saved with it.

        Raises:
            CheckpointError: the checkpoint is of another architecture, or cannot be read.
        """
        state = restore(folder, self._model, self._optimizer)
        self._loss_in_training.restore(folder)
        self._parent, self._current = state["parent"], None
        self._drawn_states.forget()
        return state
