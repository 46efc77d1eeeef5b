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
from safetensors.torch import load
from torch import Tensor

from molbuffer.samplers.models.gru import GRUArchitecture, GRULanguageModel
from molbuffer.samplers.models.protocol import Sequences
from molbuffer.samplers.policies.policy import Policy, fingerprint
from molbuffer.samplers.tokens.vocabulary import Vocabulary
from molbuffer.training.batches.batch import TrainingBatch
from molbuffer.training.batches.buffer import BUFFER
from molbuffer.training.fit.learner import Learner
from molbuffer.training.fit.settings import LearnerSettings
from molbuffer.training.losses import LOSSES, TrajectoryBalance, ValidOn

LONGEST = 4
ROWS = 64


@dataclass(frozen=True)
class Toy:
    """How a loss learns here: its keys, and the mean reward that it must reach from stored rows.

    The optimum of live rows is 1. The stored rows are all chains, whose mean reward is 0.29. Losses with clipped ratios
    stay near the policy that drew them, those that clone stay among the rows that they are given, and squared
    differences are least somewhere between; only the others reach 1.
    """

    keys: Mapping[str, Any]
    offline: float = 0.39


TOYS: Mapping[str, Toy] = {
    "a2c": Toy({"critic_learning_rate": 0.01}),
    "advantage_weighted": Toy({"temperature": 0.1}, offline=0.5),
    "augmented_hill_climb": Toy({"sigma": 20.0}, offline=0.45),
    "best_agent_reminder": Toy({"sigma": 20.0}),
    "dpo": Toy({"beta": 0.1}, offline=0.45),
    "filtered_cloning": Toy({"threshold": 0.8}, offline=0.9),
    "grpo": Toy({"kl_weight": 0.0}),
    "gspo": Toy({}, offline=0.45),
    "importance_weighted": Toy({}, offline=0.95),
    "off_policy_reinvent": Toy({"sigma": 20.0}, offline=0.45),
    "ppo": Toy({}),
    "reinforce": Toy({"baseline": "moving"}),
    "reinvent": Toy({"sigma": 20.0}),
    "top_share_likelihood": Toy({}, offline=0.5),
    "trajectory_balance": Toy({"beta": 20.0, "log_z": 15.0}, offline=0.7),
}
LIVE_OPTIMUM = 0.8
LEARNING = LearnerSettings(0.02, gradient_norm=10.0)
STEPS = 60
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
    beyond = [sum(3**more for more in range(LONGEST + 1 - place)) for place in range(LONGEST + 1)]
    tokens = torch.zeros(len(texts), LONGEST, dtype=torch.int64)
    log_probs = torch.zeros(len(texts), LONGEST)
    lengths = torch.tensor([min(len(text) + 1, LONGEST) for text in texts])
    for row, text in enumerate(texts):
        encoded = vocabulary.encode(text)[:LONGEST]  # a row that is as long as rows can be has no END
        tokens[row, : len(encoded)] = torch.as_tensor(encoded)
        ways = [*(beyond[place + 1] for place in range(len(text))), 1][:LONGEST]
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
        missing = LONGEST - drawn.tokens.shape[1]
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


MORE: Mapping[str, tuple[str, Toy]] = {
    "ppo with a critic": ("ppo", Toy({"baseline": "critic", "critic_learning_rate": 0.01})),
}
"""Other settings of kinds that learn in another way."""
CASES += [(name, data) for name in MORE for data in DATA]


def toy_of(name: str) -> tuple[str, Toy]:
    return MORE[name] if name in MORE else (name, TOYS[name])


def learner_of(name: str, prior: Policy) -> Learner:
    kind, toy = toy_of(name)
    return Learner(prior, LOSSES[kind](**toy.keys), LEARNING)


def mean_reward(policy: Policy) -> float:
    draws = Draws(policy.vocabulary, torch.Generator().manual_seed(11))
    return float(draws.of(policy, 500)["rewards"].mean())


def test_every_loss_has_a_problem() -> None:
    assert TOYS.keys() == {name for name, kind in LOSSES.kinds.items() if kind.is_own}


@pytest.mark.parametrize(("kind", "data"), CASES)
def test_the_policy_comes_near_the_optimum(kind: str, data: str, prior: Policy) -> None:
    learner = learner_of(kind, prior)
    batch = batches(learner, data, Draws(prior.vocabulary, torch.Generator().manual_seed(5)))
    for step in range(STEPS):
        learner.step(batch(step))
    before, after = mean_reward(prior), mean_reward(learner.policy())
    wanted = toy_of(kind)[1].offline if data == "offline" else LIVE_OPTIMUM
    assert before < 0.2 and after > wanted, f"from {before:.3f} to {after:.3f}"


def target_of(prior: Policy, beta: float) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Return the logarithms of the optimal probabilities of all chains, log Z, and the chains."""
    rows = all_chains(prior.vocabulary)
    with torch.no_grad():
        log_prior = prior.model.log_probs(rows["tokens"], rows["lengths"]).sum(1)
    assert float(log_prior.logsumexp(0)) == pytest.approx(0, abs=1e-5), "there are no others"
    unscaled = log_prior + beta * rows["rewards"]
    return unscaled - unscaled.logsumexp(0), unscaled.logsumexp(0), rows


def test_trajectory_balance_finds_the_target_distribution_and_its_log_z(prior: Policy) -> None:
    beta = 3.0
    target, log_z, rows = target_of(prior, beta)
    loss = TrajectoryBalance(beta=beta, z_learning_rate=0.05)
    learner = Learner(prior, loss, LEARNING)
    for step in range(150):
        learner.step(TrainingBatch(step, rows, [BUFFER] * len(target)))
    found = state_of(learner)["loss.model.log_z"]
    with torch.no_grad():
        agent = learner.policy().model.log_probs(rows["tokens"], rows["lengths"]).sum(1)
    divergence = (target.exp() * (target - agent)).sum()
    assert float(log_z) == pytest.approx(float(found), abs=0.05)
    assert abs(float(divergence)) < 0.02, "of the target from the policy"


def state_of(learner: Learner) -> dict[str, Tensor]:
    """Return all tensors of a checkpoint by name."""
    tensors = {}
    for name, content in learner.checkpoint_files({}).items():
        if name.endswith(".safetensors"):
            prefix = "loss." if name.startswith("loss-") else ""
            tensors |= {prefix + key: each for key, each in load(content).items()}
    return tensors


@pytest.mark.parametrize("kind", [*TOYS, *MORE])
def test_r16_a_learner_that_is_restored_goes_on_as_one_that_never_stopped(
    kind: str, prior: Policy, tmp_path: Path
) -> None:
    draws = Draws(prior.vocabulary, torch.Generator().manual_seed(5))
    given = [TrainingBatch(step, draws.of(prior, 16), ["agent"] * 16) for step in range(6)]
    whole = learner_of(kind, prior)
    for batch in given:
        whole.step(batch)
    stopped = learner_of(kind, prior)
    for batch in given[:3]:
        stopped.step(batch)
    for name, content in stopped.checkpoint_files({"step": 3}).items():
        (tmp_path / name).write_bytes(content)
    resumed = learner_of(kind, prior)
    assert resumed.restore(tmp_path)["step"] == 3
    for batch in given[3:]:
        resumed.step(batch)
    expected, found = state_of(whole), state_of(resumed)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    has_state = any(name.startswith("loss.") for name in expected)
    assert has_state == (kind in ("a2c", "ppo with a critic", "reinforce", "trajectory_balance"))


def test_a_checkpoint_of_another_loss_leaves_the_state_at_its_beginning(prior: Policy, tmp_path: Path) -> None:
    before = learner_of("reinforce", prior)
    for name, content in before.checkpoint_files({}).items():
        (tmp_path / name).write_bytes(content)
    changed = learner_of("trajectory_balance", prior)
    changed.restore(tmp_path)
    assert float(state_of(changed)["loss.model.log_z"]) == 15.0
