import pytest
import torch
from torch import Tensor

from molbuffer.training.losses import (
    LOSSES,
    ScoredSequences,
    ValidOn,
    augmented_hill_climb,
    best_agent_reminder,
    off_policy_reinvent,
    reinvent,
)

AGENT = torch.tensor([-20.0, -31.0, -25.5])
PRIOR = torch.tensor([-22.0, -30.0, -25.5])
REWARDS = torch.tensor([0.5, 0.0, 1.0])


def test_reinvent_is_the_mean_square_of_the_difference_to_the_augmented_likelihood() -> None:
    # augmented = -22 + 5, -30 + 0, -25.5 + 10; less agent: 3, 1, 10; squares: 9, 1, 100.
    assert float(reinvent(AGENT, PRIOR, REWARDS, sigma=10.0)) == pytest.approx(110 / 3)


def test_reinvent_is_0_where_the_agent_has_the_augmented_likelihood() -> None:
    assert float(reinvent(PRIOR + 10.0 * REWARDS, PRIOR, REWARDS, sigma=10.0)) == 0.0


def test_the_gradient_agrees_with_finite_differences() -> None:
    agent = AGENT.double().requires_grad_()

    def loss(likelihoods: Tensor) -> Tensor:
        return reinvent(likelihoods, PRIOR.double(), REWARDS.double(), sigma=10.0)

    assert torch.autograd.gradcheck(loss, (agent,))


def test_the_gradient_has_the_value_worked_out_by_hand() -> None:
    agent = AGENT.clone().requires_grad_()
    reinvent(agent, PRIOR, REWARDS, sigma=10.0).backward()
    # d/d agent of (augmented - agent)^2 / 3 is -2 (augmented - agent) / 3.
    torch.testing.assert_close(agent.grad, torch.tensor([-2.0, -2 / 3, -20 / 3]))


def test_the_gradient_flows_through_the_agent_only() -> None:
    tensors = [tensor.clone().requires_grad_() for tensor in (AGENT, PRIOR, REWARDS)]
    reinvent(*tensors, sigma=10.0).backward()
    agent, prior, rewards = tensors
    assert agent.grad is not None and agent.grad.abs().sum() > 0
    assert prior.grad is None and rewards.grad is None


@pytest.mark.parametrize(
    "shapes",
    [((3,), (3,), (3, 1)), ((3,), (4,), (3,)), ((3, 1), (3, 1), (3, 1)), ((), (), ())],
)
def test_wrong_shapes_are_named(shapes: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ValueError, match=r"\[n\]") as caught:
        reinvent(*(torch.zeros(shape) for shape in shapes), sigma=1.0)
    assert all(str(shape) in str(caught.value) for shape in shapes)


def test_the_kind_reinvent_is_the_function_of_whole_sequences_valid_on_any_data() -> None:
    kind = LOSSES["reinvent"]
    agent, prior = torch.tensor([[-1.0, -2.0], [-3.0, 0.0]]), torch.tensor([[-1.0, -1.0], [-4.0, 0.0]])
    rewards = torch.tensor([0.5, 1.0])
    rows = ScoredSequences(agent, prior, torch.full((2, 2), torch.nan), torch.tensor([2, 1]), rewards)
    # (-2 + 4 * 0.5 + 3)² = 9 and (-4 + 4 * 1 + 3)² = 9
    assert float(kind(sigma=4.0)(rows)) == 9.0
    assert float(kind(sigma=2.0)(rows)) == pytest.approx((2.0**2 + 1.0**2) / 2)
    assert kind.valid_on is ValidOn.ANY


def test_augmented_hill_climb_has_the_rows_with_the_highest_rewards() -> None:
    # The squares are 9, 1 and 100, as above; half of three rows are two.
    assert float(augmented_hill_climb(AGENT, PRIOR, REWARDS, sigma=10.0, share=0.5)) == pytest.approx(109 / 2)
    assert float(augmented_hill_climb(AGENT, PRIOR, REWARDS, sigma=10.0, share=1 / 3)) == pytest.approx(100)
    assert float(augmented_hill_climb(AGENT, PRIOR, REWARDS, sigma=10.0, share=1.0)) == pytest.approx(110 / 3)
    agent = AGENT.clone().requires_grad_()
    augmented_hill_climb(agent, PRIOR, REWARDS, sigma=10.0, share=0.5).backward()
    torch.testing.assert_close(agent.grad, torch.tensor([-3.0, 0.0, -10.0]))


def test_off_policy_reinvent_weighs_rows_by_bounded_ratios_without_a_gradient() -> None:
    behaviour = AGENT - torch.tensor([1.0, 0.5, 4.0]).log()
    agent = AGENT.clone().requires_grad_()
    loss = off_policy_reinvent(agent, PRIOR, behaviour, REWARDS, sigma=10.0, max_weight=2.0)
    assert float(loss.detach()) == pytest.approx((1 * 9 + 0.5 * 1 + 2 * 100) / 3)
    loss.backward()
    torch.testing.assert_close(agent.grad, torch.tensor([-2.0, -0.5 * 2 / 3, -2 * 20 / 3]))


def test_the_best_agent_takes_the_place_of_the_prior_on_its_own_rows() -> None:
    best, reminders = torch.tensor([0.0, -29.0, 0.0]), torch.tensor([False, True, False])
    # Of the agent's rows the squares are 9 and 100, as above; of that of the best agent (-29 + 0 + 31)² = 4.
    agent = AGENT.clone().requires_grad_()
    loss = best_agent_reminder(agent, PRIOR, best, reminders, REWARDS, sigma=10.0, share=0.25)
    assert float(loss.detach()) == pytest.approx(0.75 * 109 / 2 + 0.25 * 4)
    loss.backward()
    torch.testing.assert_close(agent.grad, torch.tensor([-0.75 * 3, -0.25 * 4, -0.75 * 10]))
    alone = best_agent_reminder(AGENT, PRIOR, best, torch.zeros(3).bool(), REWARDS, sigma=10.0, share=0.25)
    assert float(alone) == pytest.approx(0.75 * 110 / 3)
