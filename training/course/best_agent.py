"""The best agent of a run: the policy in training as it was when its draws had the highest mean reward.

A sampler can draw from the best agent, so that the agent does not unlearn what it knew. These rows have the
log-probabilities and the sha256 of the best agent. The lineage has this policy already, as the behaviour policy of the
batch that made it the best.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from safetensors.torch import load, save
from torch import Tensor

from molbuffer.samplers import Policy
from molbuffer.storage import Build, Place, ScoreStatus
from molbuffer.training.course.course import Observer, StepTaken

_WEIGHTS = "best_agent-tensors.safetensors"


class InTraining(Protocol):
    """A policy in training."""

    def policy(self) -> Policy:
        """Return the policy as it is now."""
        ...


class BestAgent(Observer):
    """The best agent up to now. A call returns its policy, so that a sampler can take the object as its source.

    The reward of a batch is the mean over the live rows of the agent: an invalid string counts as 0, and rows that a
    filter rejected do not count. Of equal means, the earlier policy stays the best. When the objective changes, the
    comparison starts again. The metric ``best_agent_reward`` is the highest mean.

    Attributes:
        name: the name of the observer in checkpoints.
    """

    name = "best_agent"

    def __init__(self, start: Policy) -> None:
        """Make the policy that the training starts from the best agent."""
        self._policy, self._is_start = start, True
        self._learner: InTraining | None = None
        self._objective_sha256: str | None = None
        self._mean: float | None = None
        self._drawing: dict[str, Tensor] = {}

    def __call__(self) -> Policy:
        """Return the best agent."""
        return self._policy

    def follow(self, learner: InTraining, objective_sha256: str) -> None:
        """Set the training that is observed.

        Args:
            learner: the policy in training.
            objective_sha256: the objective whose rewards count.
        """
        if objective_sha256 != self._objective_sha256:
            self._mean = None
        self._learner, self._objective_sha256 = learner, objective_sha256

    def begin(self) -> None:
        """Copy the weights of the policy that draws the next batch."""
        self._remember()

    def after(self, step: StepTaken) -> Mapping[str, float | None]:
        """Make the policy that drew the batch the best agent if the batch has the highest mean reward up to now."""
        mean = self._mean_of(step)
        if mean is not None and (self._mean is None or mean > self._mean):
            assert step.agent_sha256 is not None
            model = copy.deepcopy(self._policy.model)
            model.load_state_dict(self._drawing)
            self._policy, self._is_start = Policy(model, self._policy.vocabulary, step.agent_sha256), False
            self._mean = mean
        self._remember()
        return {"best_agent_reward": self._mean}

    def state(self) -> Any:
        """Return the objective, the highest mean, and the sha256 of the best agent."""
        return {"objective": self._objective_sha256, "mean": self._mean, "sha256": self._policy.sha256}

    def load_state(self, state: Any) -> None:
        """Restore a state; a mean under another objective is dropped."""
        self._mean = state["mean"] if state["objective"] == self._objective_sha256 else None
        self._sha256 = state["sha256"]

    def files(self) -> Mapping[str, bytes]:
        """Return the weights of the best agent as a file; none if it is the policy that the training started from."""
        if self._is_start:
            return {}
        tensors = self._policy.model.state_dict()
        return {_WEIGHTS: save({name: tensor.contiguous().cpu() for name, tensor in tensors.items()})}

    def load_files(self, folder: Place) -> None:
        """Read the weights of the best agent from a checkpoint, if it has them."""
        if (folder / _WEIGHTS).exists():
            model = copy.deepcopy(self._policy.model)
            model.load_state_dict(load((folder / _WEIGHTS).read_bytes()))
            self._policy, self._is_start = Policy(model, self._policy.vocabulary, self._sha256), False

    def _remember(self) -> None:
        assert self._learner is not None
        now = self._learner.policy().model.state_dict()
        self._drawing = {name: tensor.detach().clone() for name, tensor in now.items()}

    def _mean_of(self, step: StepTaken) -> float | None:
        builds = [each for each in step.mixed.origin.live if each.policy_sha256 == step.agent_sha256]
        rewards = [value for build in builds for value in _rewards(build, self._objective_sha256)]
        return float(np.mean(rewards)) if step.agent_sha256 is not None and rewards else None


def _rewards(build: Build, objective_sha256: str | None) -> list[float]:
    known = [
        each.value
        for each in build.rewards
        if each.value is not None and each.status is ScoreStatus.OK and each.objective_sha256 == objective_sha256
    ]
    return [*known, *(0.0 for text in build.samples.smiles if text is None)]
