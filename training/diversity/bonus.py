"""A bonus for molecules that are unlike those that a run has learned: random network distillation, or surprise.

Both use a fingerprint of the molecule (Morgan, radius 2, 1,024 bits), and take ``STEPS`` gradient steps on the
molecules of each iteration after its bonuses were computed. Their networks have the same first weights in every
training.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from molbuffer.scoring import bit_fingerprints
from molbuffer.training.adam import Adam

BITS, HIDDEN, FEATURES = 1024, 128, 32
LEARNING_RATE = 1e-3
STEPS = 4
"""The number of gradient steps on the molecules of an iteration."""


class NoveltyBonus:
    """The bonus of molecules, in [0, 1].

    ``rnd``: a network learns to predict the output of a fixed random network. The bonus is its squared error divided by
    the squared error of the untrained network, at most 1: near 1 for a molecule unlike all earlier ones, and falling to
    0 for molecules that are seen again and again (Burda et al. 2019, arXiv:1810.12894, but without running means, so
    that the bonus of a molecule depends on the earlier molecules alone).

    ``surprise``: a network learns to predict the reward; the bonus is the absolute error of its prediction.

    Svensson et al. 2024, arXiv:2410.10431, add such a bonus to the rewards of molecules above a threshold.

    Attributes:
        network: the trained network ``learner``, and the networks ``fixed``, which never change.
        optimizer: the optimizer of the trained network.
    """

    def __init__(self, kind: Literal["rnd", "surprise"]) -> None:
        self._kind = kind
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            target = _network(FEATURES)
            learner = _network(FEATURES if kind == "rnd" else 1)
        fixed = nn.ModuleDict({"target": target, "untaught": copy.deepcopy(learner)}).requires_grad_(False)
        self.network = nn.ModuleDict({"learner": learner, "fixed": fixed})
        self.optimizer = Adam(learner.parameters(), LEARNING_RATE)

    @torch.no_grad()
    def of(self, smiles: Sequence[str], rewards: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the bonuses of molecules, float64 [n] in [0, 1].

        Args:
            smiles: canonical SMILES [n].
            rewards: float64 [n].
        """
        if not len(smiles):
            return np.zeros(0)
        inputs = torch.from_numpy(bit_fingerprints(smiles, BITS))
        if self._kind == "surprise":
            expected = self._learner(inputs)[:, 0].sigmoid().double().numpy()
            distances: NDArray[np.float64] = np.abs(rewards - expected).clip(0, 1)
            return distances
        target = self._fixed("target", inputs)
        before = (self._fixed("untaught", inputs) - target).square().mean(1)
        now = (self._learner(inputs) - target).square().mean(1)
        found: NDArray[np.float64] = (now / before.clamp(min=1e-12)).clamp(max=1).double().numpy()
        return found

    def learn(self, smiles: Sequence[str], rewards: NDArray[np.float64]) -> float | None:
        """Train on the molecules of an iteration; return the loss before the first step, None without molecules.

        Args:
            smiles: canonical SMILES [n].
            rewards: float64 [n].
        """
        if not len(smiles):
            return None
        inputs = torch.from_numpy(bit_fingerprints(smiles, BITS))
        wanted = torch.from_numpy(rewards).float() if self._kind == "surprise" else self._fixed("target", inputs)
        losses = []
        for _ in range(STEPS):
            found = self._learner(inputs)
            found = found[:, 0].sigmoid() if self._kind == "surprise" else found
            loss = (found - wanted).square().mean()
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            losses.append(float(loss.detach()))
        return losses[0]

    def _learner(self, inputs: Tensor) -> Tensor:
        found: Tensor = self.network["learner"](inputs)
        return found

    def _fixed(self, name: str, inputs: Tensor) -> Tensor:
        fixed = self.network["fixed"]
        assert isinstance(fixed, nn.ModuleDict)
        found: Tensor = fixed[name](inputs)
        return found


def _network(outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(BITS, HIDDEN, device="cpu"), nn.ReLU(), nn.Linear(HIDDEN, outputs, device="cpu"))
