import pytest
import torch

from molbuffer.training.losses import TrajectoryBalance, trajectory_balance

AGENT = torch.tensor([-20.0, -31.0])
PRIOR = torch.tensor([-22.0, -30.0])
REWARDS = torch.tensor([0.5, 0.0])


def test_trajectory_balance_by_hand() -> None:
    log_z = torch.tensor(3.0, requires_grad=True)
    agent = AGENT.clone().requires_grad_()
    # 3 - 20 - 5 + 22 = 0 and 3 - 31 - 0 + 30 = 2.
    loss = trajectory_balance(agent, PRIOR, REWARDS, log_z, beta=10.0, prior_weight=1.0)
    assert float(loss.detach()) == pytest.approx((0 + 4) / 2)
    loss.backward()
    assert agent.grad is not None and log_z.grad is not None
    assert (agent.grad.tolist(), float(log_z.grad)) == ([0.0, 2.0], 2.0)
    plain = trajectory_balance(AGENT, PRIOR, REWARDS, torch.tensor(3.0), beta=10.0, prior_weight=0.0)
    assert float(plain) == pytest.approx((22**2 + 28**2) / 2)


def test_it_is_0_where_probabilities_are_those_of_the_target() -> None:
    prior, rewards = torch.tensor([0.2, 0.3, 0.5]).log(), torch.tensor([1.0, 0.5, 0.0])
    target = prior + 4 * rewards
    log_z = target.logsumexp(0)
    assert float(trajectory_balance(target - log_z, prior, rewards, log_z, 4.0, 1.0)) == pytest.approx(0, abs=1e-10)


def test_a_log_z_that_is_no_scalar_is_refused() -> None:
    with pytest.raises(ValueError, match=r"scalar log_z, got \(1,\)"):
        trajectory_balance(AGENT, PRIOR, REWARDS, torch.zeros(1), 1.0, 1.0)


def test_the_state_begins_as_the_settings_say() -> None:
    loss = TrajectoryBalance(log_z=2.5, z_learning_rate=0.3)
    assert [float(each.detach()) for each in loss.state().parameters()] == [2.5]
    assert loss.state_learning_rate == 0.3
