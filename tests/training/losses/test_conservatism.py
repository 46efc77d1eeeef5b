"""Terms that keep a policy close to its rows and to the prior: values by hand, and what they leave of the loss."""

import math
from dataclasses import replace

import pytest
import torch

from molbuffer.training.losses import (
    PPO,
    FilteredCloning,
    Reinforce,
    Reinvent,
    ScoredSequences,
    StatefulLoss,
    TrajectoryBalance,
    ValidOn,
    conservative,
    conservative_terms,
)

AGENT = torch.tensor([[-1.0, -2.0], [-3.0, 0.0]])
PRIOR = torch.tensor([[-1.0, -2.0 + math.log(2)], [-3.0 - math.log(2), 0.0]])


def rows() -> ScoredSequences:
    lengths = torch.tensor([2, 1])
    return ScoredSequences(AGENT.clone().requires_grad_(), PRIOR, AGENT, lengths, torch.tensor([1.0, 0.0]))


def test_the_terms_by_hand() -> None:
    assert conservative_terms(AGENT, PRIOR, 0.5, 0.0).item() == pytest.approx(0.5 * 3.0)
    # q/π is 2 in one token and 1/2 in another: 2 - log 2 - 1 and 1/2 + log 2 - 1, over two rows.
    assert conservative_terms(AGENT, PRIOR, 0.0, 1.0).item() == pytest.approx(0.25)
    assert conservative_terms(AGENT, AGENT, 0.0, 1.0).item() == 0.0


def test_they_are_added_to_any_loss_with_their_gradient() -> None:
    plain, kept = rows(), rows()
    loss = conservative(Reinvent(), 0.5, 2.0)
    total = loss(kept)
    assert total.item() == pytest.approx(Reinvent()(plain).item() + 1.5 + 0.5)
    (gradient,) = torch.autograd.grad(total, kept.agent)
    (of_loss,) = torch.autograd.grad(Reinvent()(plain), plain.agent)
    # d/d log π of the k3 is 1 - q/π.
    expected = of_loss - 0.5 / 2 + 2.0 / 2 * (1 - (PRIOR - AGENT).exp())
    torch.testing.assert_close(gradient, expected)


def test_what_a_loss_says_of_itself_stays() -> None:
    assert conservative(Reinvent()) == Reinvent()
    assert conservative(PPO(allow_truncated=True), 1.0).valid_on is ValidOn.BEHAVIOUR
    assert getattr(conservative(PPO(allow_truncated=True), 1.0), "allow_truncated")  # noqa: B009 (not of every loss)
    assert getattr(conservative(FilteredCloning(), 1.0), "clipped") is None  # noqa: B009
    with pytest.raises(ValueError, match="-1"):
        conservative(Reinvent(), -1.0)


@pytest.mark.parametrize("inner", [TrajectoryBalance(log_z=1.0), Reinforce(baseline="moving")])
def test_a_loss_with_a_state_keeps_it(inner: StatefulLoss) -> None:
    loss = conservative(inner, 0.5)
    assert isinstance(loss, StatefulLoss)
    state, alone = loss.state(), inner.state()
    for given in (rows(), replace(rows(), rewards=torch.tensor([0.2, 0.6]))):
        assert state(given).item() == pytest.approx(alone(given).item() + 1.5)
    assert len(list(state.parameters())) == len(list(alone.parameters()))
    assert loss.state_learning_rate == inner.state_learning_rate
