import math

import pytest
import torch
from torch.testing import assert_close

from molbuffer.training.losses import DPO, ScoredSequences, dpo, ranked_pairs

REWARDS = torch.tensor([0.4, 0.9, 0.1, 0.9, 0.5])


def test_dpo_by_hand() -> None:
    chosen, rejected = torch.tensor([2.0, 0.0]).requires_grad_(), torch.tensor([1.0, 0.0]).requires_grad_()
    loss = dpo(chosen, rejected, beta=0.5)
    sigmoid = 1 / (1 + math.exp(-0.5))
    assert float(loss.detach()) == pytest.approx((-math.log(sigmoid) + math.log(2)) / 2)
    loss.backward()
    # The gradient is -β (1 - σ) / m.
    assert_close(chosen.grad, -0.5 * torch.tensor([1 - sigmoid, 0.5]) / 2)
    assert_close(rejected.grad, 0.5 * torch.tensor([1 - sigmoid, 0.5]) / 2)
    assert float(dpo(torch.tensor([1000.0]), torch.tensor([-1000.0]), 1.0)) == 0
    assert float(dpo(torch.tensor([-1000.0]), torch.tensor([1000.0]), 1.0)) == 2000, "no overflow"


def test_the_best_row_is_paired_with_the_worst_and_so_on_inwards() -> None:
    better, worse = ranked_pairs(REWARDS, None, margin=0.0)
    assert (better.tolist(), worse.tolist()) == ([1, 3], [2, 0])
    better, worse = ranked_pairs(REWARDS, None, margin=0.6)
    assert (better.tolist(), worse.tolist()) == ([1], [2])
    better, worse = ranked_pairs(REWARDS, torch.tensor([0, 1, 0, 1, 0]), margin=0.0)
    assert (better.tolist(), worse.tolist()) == ([4], [2]), "both of one source, and not of one reward"


def test_without_pairs_the_loss_is_0_and_has_a_gradient() -> None:
    agent = torch.full((3, 2), -1.0).requires_grad_()
    rows = ScoredSequences(agent, agent.detach(), agent.detach(), torch.full((3,), 2), torch.full((3,), 0.5))
    loss = DPO()(rows)
    loss.backward()
    assert float(loss.detach()) == 0 and agent.grad is not None and not agent.grad.any()
