"""Each loss on problems with a known optimum, with each kind of data that it is valid on, and its state over a restart.

A policy of chains of C, N and O learns to draw C alone: the reward is the share of C, and 1 the best there is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from molbuffer.samplers.models.gru import GRUArchitecture, GRULanguageModel
from molbuffer.samplers.models.protocol import Sequences
from molbuffer.samplers.policies.policy import Policy, fingerprint
from molbuffer.samplers.tokens.vocabulary import Vocabulary
from molbuffer.training.batches.batch import TrainingBatch
from molbuffer.training.batches.buffer import BUFFER
from molbuffer.training.fit.learner import Learner
from molbuffer.training.fit.settings import LearnerSettings
from molbuffer.training.losses import LOSSES, Loss, ValidOn

LONGEST = 4
ROWS = 64


@dataclass(frozen=True)
class Toy:
    """How a loss learns here: its keys, the learning rate, and the steps that it needs."""

    keys: Mapping[str, Any]
    learning_rate: float = 0.02
    steps: int = 60


TOYS: Mapping[str, Toy] = {
    "advantage_weighted": Toy({"temperature": 0.1}),
    "augmented_hill_climb": Toy({"sigma": 20.0}),
    "dpo": Toy({"beta": 0.1}),
    "filtered_cloning": Toy({"threshold": 0.8}),
    "grpo": Toy({"kl_weight": 0.0}),
    "gspo": Toy({}),
    "importance_weighted": Toy({}),
    "off_policy_reinvent": Toy({"sigma": 20.0}),
    "ppo": Toy({}),
    "reinforce": Toy({"baseline": "moving"}),
    "reinvent": Toy({"sigma": 20.0}),
    "top_share_likelihood": Toy({}),
    "trajectory_balance": Toy({"beta": 20.0, "log_z": 15.0}),
}
DATA = ("on_policy", "replay", "offline")
CASES = [
    (kind, data)
    for kind in TOYS
    for data in DATA
    if data == "on_policy" or LOSSES[kind].valid_on is not ValidOn.ON_POLICY
]


@pytest.fixture(scope="module")
def prior(chains: Vocabulary) -> Policy:
    torch.manual_seed(3)
    sizes = {"embedding_size": 8, "hidden_size": 16, "layers": 1, "max_length": LONGEST}
    model = GRULanguageModel(GRUArchitecture(len(chains), **sizes)).eval()
    return Policy(model, chains, fingerprint(model, chains))


def reward_of(tokens: Tensor, vocabulary: Vocabulary) -> Tensor:
    """The share of C among the places of a chain."""
    return (tokens == vocabulary.encode("C")[0]).sum(1) / LONGEST


def all_chains(vocabulary: Vocabulary) -> dict[str, Tensor]:
    """Every chain once, as rows of a behaviour policy that draws each with the same probability."""
    texts = ["".join(each) for length in range(LONGEST + 1) for each in product("CNO", repeat=length)]
    # Of the chains that begin with some tokens, one ends there, and a third of the others goes on with each token.
    beyond = [sum(3**more for more in range(LONGEST + 1 - place)) for place in range(LONGEST + 2)]
    tokens = torch.zeros(len(texts), LONGEST + 1, dtype=torch.int64)
    log_probs = torch.zeros(len(texts), LONGEST + 1)
    lengths = torch.tensor([len(text) + 1 for text in texts])
    for row, text in enumerate(texts):
        encoded = vocabulary.encode(text)
        tokens[row, : len(encoded)] = torch.as_tensor(encoded)
        ways = [*(beyond[place + 1] for place in range(len(text))), 1]
        log_probs[row, : len(ways)] = torch.tensor([way / beyond[place] for place, way in enumerate(ways)]).log()
    torch.testing.assert_close(log_probs.sum(1).exp(), torch.full((len(texts),), 1 / len(texts)))
    return {"tokens": tokens, "lengths": lengths, "log_probs": log_probs, "rewards": reward_of(tokens, vocabulary)}


@dataclass
class Draws:
    """Draws of a policy with their rewards, as batches of a learner."""

    vocabulary: Vocabulary
    generator: torch.Generator

    def of(self, policy: Policy, n: int) -> dict[str, Tensor]:
        drawn: Sequences = policy.model.sample(n, generator=self.generator)
        missing = LONGEST + 1 - drawn.tokens.shape[1]
        tokens, log_probs = (torch.nn.functional.pad(each, (0, missing)) for each in (drawn.tokens, drawn.log_probs))
        rewards = reward_of(tokens, self.vocabulary)
        return {"tokens": tokens, "lengths": drawn.lengths, "log_probs": log_probs, "rewards": rewards}

    def some(self, rows: Mapping[str, Tensor], n: int) -> dict[str, Tensor]:
        chosen = torch.randint(len(rows["lengths"]), (n,), generator=self.generator)
        return {name: column[chosen] for name, column in rows.items()}


def joined(*parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def batches(learner: Learner, data: str, draws: Draws) -> Callable[[int], TrainingBatch]:
    """Return a function of the number of a step to its batch."""
    stored = all_chains(learner.prior.vocabulary) if data == "offline" else draws.of(learner.prior, 0)

    def batch(step: int) -> TrainingBatch:
        nonlocal stored
        live = 0 if data == "offline" else ROWS if data == "on_policy" or step == 0 else ROWS // 2
        parts = [draws.of(learner.policy(), live)] if live else []
        replayed = ROWS - live
        if replayed:
            parts.append(draws.some(stored, replayed))
        if live:
            stored = joined(stored, parts[0])
        return TrainingBatch(step, joined(*parts), ["agent"] * live + [BUFFER] * replayed)

    return batch


def learner_of(kind: str, prior: Policy) -> Learner:
    toy = TOYS[kind]
    return Learner(prior, LOSSES[kind](**toy.keys), LearnerSettings(toy.learning_rate, gradient_norm=10.0))


def mean_reward(policy: Policy) -> float:
    draws = Draws(policy.vocabulary, torch.Generator().manual_seed(11))
    return float(draws.of(policy, 500)["rewards"].mean())


def test_every_loss_has_a_problem() -> None:
    assert TOYS.keys() == {name for name, kind in LOSSES.kinds.items() if kind.is_own}


@pytest.mark.parametrize(("kind", "data"), CASES)
def test_the_policy_comes_near_the_optimum(kind: str, data: str, prior: Policy) -> None:
    learner = learner_of(kind, prior)
    batch = batches(learner, data, Draws(prior.vocabulary, torch.Generator().manual_seed(5)))
    for step in range(TOYS[kind].steps):
        learner.step(batch(step))
    before, after = mean_reward(prior), mean_reward(learner.policy())
    print(f"VAL {kind} {data} {before:.3f} {after:.3f} {all_chains(prior.vocabulary)['rewards'].mean()}")
    assert before < 0.35 and after > 0.9, f"from {before:.3f} to {after:.3f}"
