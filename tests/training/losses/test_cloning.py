import math

import pytest
import torch

from molbuffer.training.losses import advantage_weighted, filtered_cloning, top_share_likelihood

AGENT = torch.tensor([-20.0, -31.0, -25.5])
REWARDS = torch.tensor([0.5, 0.0, 1.0])


def test_the_likelihood_of_the_rows_with_the_highest_rewards_by_hand() -> None:
    assert float(top_share_likelihood(AGENT, REWARDS, share=0.25)) == 25.5
    assert float(top_share_likelihood(AGENT, REWARDS, share=0.5)) == pytest.approx((25.5 + 20) / 2)
    equal = torch.full((3,), 0.5)
    assert float(top_share_likelihood(AGENT, equal, share=0.3)) == 20.0, "the earlier of equal rows"


def test_filtered_cloning_counts_rows_from_the_threshold_on() -> None:
    assert float(filtered_cloning(AGENT, REWARDS, threshold=0.5)) == pytest.approx((20 + 25.5) / 3)
    agent = AGENT.clone().requires_grad_()
    loss = filtered_cloning(agent, REWARDS / 2, threshold=0.6)
    loss.backward()
    assert float(loss.detach()) == 0 and agent.grad is not None and not agent.grad.any(), "no row reaches it"


def test_advantage_weighted_regression_by_hand() -> None:
    # The advantages are 0, -1 and 1 times the root of 1.5: the rewards' standard deviation is the root of 1/6.
    temperature = math.sqrt(1.5)
    found = float(advantage_weighted(AGENT, REWARDS, temperature, max_weight=10.0))
    assert found == pytest.approx((20 + 31 / math.e + 25.5 * math.e) / 3, rel=1e-5)
    bounded = float(advantage_weighted(AGENT, REWARDS, temperature, max_weight=2.0))
    assert bounded == pytest.approx((20 + 31 / math.e + 25.5 * 2) / 3, rel=1e-5)
    scaled = float(advantage_weighted(AGENT, 0.1 + 0.01 * REWARDS, temperature, max_weight=10.0))
    assert scaled == pytest.approx(found, rel=1e-3), "neither the rewards' mean nor their spread counts"


@pytest.mark.parametrize("rewards", [torch.full((3,), 0.3), torch.tensor([0.1 + 0.2, 0.3, 0.3]), torch.zeros(3)])
def test_equal_rewards_are_cloned_alike(rewards: torch.Tensor) -> None:
    found = float(advantage_weighted(AGENT, rewards, temperature=0.1, max_weight=10.0))
    assert found == pytest.approx((20 + 31 + 25.5) / 3, rel=0.1)


def test_a_single_row_is_cloned() -> None:
    assert float(advantage_weighted(AGENT[:1], REWARDS[:1], temperature=0.5, max_weight=10.0)) == 20
