"""Advantages of tokens, the actor and the critic of A2C, and PPO with the critic."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from molbuffer.training.losses import (
    A2C,
    PPO,
    CriticLoss,
    Reinforce,
    ScoredSequences,
    advantage_actor,
    conservative,
    generalised_advantages,
    state_of,
    token_rewards,
    value_error,
)

REWARDS, VALUES = torch.tensor([[-0.1, 0.05, 0.0, 0.8]]), torch.tensor([[0.3, 0.5, 0.2, 0.6]])
LENGTHS = torch.tensor([3, 2])
TOKENS = torch.tensor([[3, 4, 2], [4, 2, 0]])


def rows() -> ScoredSequences:
    agent = torch.tensor([[-1.0, -0.5, -0.2], [-2.0, -0.3, 0.0]], requires_grad=True)
    prior = torch.tensor([[-0.5, -0.5, -0.4], [-1.0, -0.1, 0.0]])
    return ScoredSequences(agent, prior, agent.detach(), LENGTHS, torch.tensor([1.0, 0.25]), tokens=TOKENS)


@pytest.mark.parametrize(
    ("discount", "trace", "expected"),
    # The advantages of generalized_advantage_estimate of torchrl 0.14.1.
    [
        (1.0, 0.95, [0.394975, 0.3105, 0.59, 0.2]),
        (0.9, 0.5, [0.015575, -0.0765, 0.43, 0.2]),
        (1.0, 1.0, [0.45, 0.35, 0.6, 0.2]),
        (1.0, 0.0, [0.1, -0.25, 0.4, 0.2]),
    ],
)
def test_generalised_advantages_are_those_of_torchrl(discount: float, trace: float, expected: list[float]) -> None:
    found = generalised_advantages(REWARDS, VALUES, torch.tensor([4]), discount, trace)
    assert_close(found, torch.tensor([expected]), atol=1e-6, rtol=0)


def test_the_advantages_of_a_row_do_not_know_what_stands_after_its_end() -> None:
    values = torch.cat([VALUES, VALUES])
    found = generalised_advantages(torch.cat([REWARDS, REWARDS]), values, torch.tensor([4, 2]), 1.0, 0.95)
    alone = generalised_advantages(REWARDS[:, :2], VALUES[:, :2], torch.tensor([2]), 1.0, 0.95)
    assert_close(found[1, :2], alone[0])
    assert not found[1, 2:].any()


def test_rewards_of_tokens_add_up_to_those_of_rows() -> None:
    given = rows()
    found = token_rewards(given, kl_weight=0.5, entropy_weight=0.1)
    # -0.5 (-1 + 0.5) + 0.1, 0 + 0.05, -0.5 (-0.2 + 0.4) + 0.02 + 1 of the first row;
    # -0.5 (-2 + 1) + 0.2, -0.5 (-0.3 + 0.1) + 0.03 + 0.25 of the second.
    assert_close(found, torch.tensor([[0.35, 0.05, 0.92], [0.7, 0.38, 0.0]]))
    assert not found.requires_grad


def test_the_actor_and_the_critic_by_hand() -> None:
    given = rows()
    advantages = torch.tensor([[1.0, 0.5, -0.5], [0.2, 0.1, 0.0]])
    loss = advantage_actor(given.agent, advantages)
    assert float(loss.detach()) == pytest.approx((1.0 + 0.25 - 0.1 + 0.4 + 0.03) / 2)
    loss.backward()
    assert_close(given.agent.grad, -advantages / 2)
    values = torch.zeros(2, 3, requires_grad=True)
    error = value_error(values, advantages, LENGTHS)
    assert float(error.detach()) == pytest.approx(((1 + 0.25 + 0.25) / 3 + (0.04 + 0.01) / 2) / 2)
    assert torch.autograd.gradcheck(
        lambda each: value_error(each, advantages.double(), LENGTHS), values.detach().double().requires_grad_()
    )


def test_a_critic_that_knows_nothing_leaves_the_gradient_of_reinforce() -> None:
    given, plain = rows(), rows()
    A2C(trace=1.0)(given).backward()
    Reinforce(baseline="none")(plain).backward()
    assert_close(given.agent.grad, plain.agent.grad * (torch.arange(3) < LENGTHS[:, None]))


def test_ppo_with_a_critic_is_a2c_where_the_rows_are_drawn_now() -> None:
    given, other = rows(), rows()
    of_ppo, of_a2c = PPO(baseline="critic")(given), A2C()(other)
    of_ppo.backward()
    of_a2c.backward()
    assert_close(given.agent.grad, other.agent.grad)


@pytest.mark.parametrize("loss", [A2C(critic_learning_rate=0.1), PPO(baseline="critic"), conservative(A2C(), 0.1)])
def test_the_critic_learns_the_return_and_says_how_well(loss: CriticLoss) -> None:
    state = state_of(loss, 6)
    assert state is not None
    given = rows()
    optimizer = torch.optim.SGD(state.parameters(), 0.2)
    first = state(given)
    for _ in range(200):
        optimizer.zero_grad()
        state(given).backward()
        optimizer.step()
    before = state_of(loss, 6)
    assert before is not None and float(before(rows()).detach()) == pytest.approx(float(first.detach())), "no chance"
    metrics: dict[str, Tensor] = state.metrics  # type: ignore[assignment]
    # Both rows begin alike: there the best value is between their rewards, and its error 0.375².
    assert float(metrics["value_error"]) < 0.375**2 * (1 / 3 + 1 / 2) / 2 + 0.01
    assert float(metrics["explained_variance"]) > 0.5


def test_a_critic_without_tokens_says_so() -> None:
    with pytest.raises(ValueError, match="needs the tokens"):
        A2C()(replace(rows(), tokens=None))


def test_ppo_has_a_state_with_a_critic_only() -> None:
    assert state_of(PPO(), 6) is None and PPO().clipped is not None
    assert state_of(PPO(baseline="critic"), 6) is not None and PPO(baseline="critic").clipped is None
