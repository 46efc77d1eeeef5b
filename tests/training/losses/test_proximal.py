import math

import pytest
import torch
from torch.testing import assert_close

from molbuffer.training.losses import (
    GRPO,
    GSPO,
    PPO,
    Reinforce,
    ScoredSequences,
    group_advantages,
    grpo,
    gspo,
    kl_k3,
    ppo,
)

# Two rows; the second has one token. The ratios are 2 and 0.5, and 1.1.
AGENT = torch.tensor([[0.5, 0.2], [0.55, 1.0]]).log()
BEHAVIOUR = torch.tensor([[0.25, 0.4], [0.5, 1.0]]).log()
LENGTHS = torch.tensor([2, 1])


def test_ppo_by_hand() -> None:
    # min(2, 1.2) + min(0.5, 0.8), times 0.5; of a negative advantage the larger ratio counts: max(1.1, 1.1) * -0.4.
    found = ppo(AGENT, BEHAVIOUR, torch.tensor([0.5, -0.4]), LENGTHS, clip=0.2)
    assert float(found) == pytest.approx(-(0.5 * (1.2 + 0.5) - 0.4 * 1.1) / 2)
    negative = ppo(AGENT, BEHAVIOUR, torch.tensor([-0.5, 0.0]), LENGTHS, clip=0.2)
    assert float(negative) == pytest.approx(0.5 * (2 + 0.8) / 2)


def test_ppo_of_rows_of_one_token_is_that_of_torchrl() -> None:
    # ClipPPOLoss of torchrl 0.14.1, without entropy and without normalised advantages.
    logits = torch.tensor([[0.2, -0.3, 0.9], [1.0, 0.1, -0.7], [0.0, 0.5, 0.4]])
    agent = logits.log_softmax(1).gather(1, torch.tensor([[2], [0], [1]]))
    behaviour, advantages = torch.tensor([[-1.2], [-0.9], [-0.8]]), torch.tensor([0.5, -0.4, 0.3])
    assert float(ppo(agent, behaviour, advantages, torch.ones(3), clip=0.2)) == pytest.approx(-0.08226575702)


def test_a_clipped_token_has_no_gradient() -> None:
    agent = AGENT.clone().requires_grad_()
    ppo(agent, BEHAVIOUR, torch.tensor([0.5, -0.4]), LENGTHS, clip=0.2).backward()
    # Only the first ratio is beyond what its advantage may take it to; a gradient is ratio * advantage / rows.
    assert_close(agent.grad, -torch.tensor([[0.0, 0.25], [-0.44, 0.0]]) / 2)
    rows = ScoredSequences(AGENT, AGENT, BEHAVIOUR, LENGTHS, torch.tensor([0.9, 0.1]))
    assert float(PPO().clipped(rows)) == pytest.approx(1 / 3)


def test_on_policy_the_gradient_of_ppo_is_that_of_reinforce() -> None:
    rewards, prior = torch.tensor([0.9, 0.1]), AGENT - 0.5
    of = {}
    for loss in (PPO(kl_weight=0.1, entropy_weight=0.05), Reinforce("mean", kl_weight=0.1, entropy_weight=0.05)):
        agent = AGENT.clone().requires_grad_()
        loss(ScoredSequences(agent, prior, AGENT, LENGTHS, rewards)).backward()
        of[type(loss)] = agent.grad
    # After the end of a row there is no token; REINFORCE sums its zeros.
    inside = torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    assert_close(of[PPO], of[Reinforce] * inside)


def test_k3_by_hand() -> None:
    found = kl_k3(torch.tensor([0.5, 0.25]).log(), torch.tensor([0.25, 0.25]).log())
    assert_close(found, torch.tensor([0.5 + math.log(2) - 1, 0.0]))


def test_the_mean_of_k3_over_draws_is_the_divergence() -> None:
    policy, other = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.2, 0.6])
    divergence = (policy * (policy / other).log()).sum()
    assert_close((policy * kl_k3(policy.log(), other.log())).sum(), divergence)


def test_grpo_by_hand() -> None:
    prior = torch.tensor([[0.25, 0.2], [0.55, 1.0]]).log()
    found = grpo(AGENT, prior, BEHAVIOUR, torch.tensor([1.0, -1.0]), LENGTHS, clip=0.2, clip_high=0.3, kl_weight=0.1)
    divergence = 0.5 + math.log(2) - 1
    first = ((1.3 - 0.1 * divergence) + 0.5) / 2
    assert float(found) == pytest.approx(-(first - 1.1) / 2)


def test_gspo_by_hand() -> None:
    # The ratio of the first row is (2 * 0.5)^(1/2) = 1, that of the second 1.1.
    agent = AGENT.clone().requires_grad_()
    found = gspo(agent, BEHAVIOUR, torch.tensor([0.5, 1.0]), LENGTHS, clip=0.05, clip_high=0.05)
    assert float(found.detach()) == pytest.approx(-(0.5 + 1.05) / 2)
    found.backward()
    assert_close(agent.grad, -torch.tensor([[0.125, 0.125], [0.0, 0.0]]))


def test_advantages_are_relative_to_the_group() -> None:
    rewards = torch.tensor([1.0, 0.2, 0.5, 0.6, 0.7])
    groups = torch.tensor([7, 3, 7, 3, 9])
    assert_close(
        group_advantages(rewards, groups, normalise=False),
        torch.tensor([0.25, -0.2, -0.25, 0.2, 0.0]),
        atol=1e-6,
        rtol=0,
    )
    # The deviation of a sample of two is their distance over the square root of 2.
    scaled = group_advantages(rewards, groups, normalise=True, smallest=0.0)[:4]
    assert_close(scaled, torch.tensor([1.0, -1.0, -1.0, 1.0]) / math.sqrt(2))
    assert float(group_advantages(rewards, groups, normalise=True)[4]) == 0, "a group of one row"
    one = group_advantages(rewards, None, normalise=True)
    assert_close(one, (rewards - rewards.mean()) / (rewards.std() + 1e-4))


def test_the_kinds_take_groups_from_the_rows() -> None:
    rewards, groups = torch.tensor([0.9, 0.1]), torch.tensor([0, 1])
    for kind in (GRPO(kl_weight=0.0), GSPO()):
        agent = AGENT.clone().requires_grad_()
        kind(ScoredSequences(agent, AGENT, AGENT, LENGTHS, rewards, groups)).backward()
        assert agent.grad is not None and not agent.grad.any(), "each row is a group of its own"
        kind(ScoredSequences(agent, AGENT, AGENT, LENGTHS, rewards)).backward()
        assert agent.grad.any()
        clipped = kind.clipped(ScoredSequences(AGENT, AGENT, BEHAVIOUR, LENGTHS, rewards))
        assert float(clipped) == pytest.approx({GRPO: 1 / 3, GSPO: 0.0}[type(kind)])
