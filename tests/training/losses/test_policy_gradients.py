import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from molbuffer.training.losses import (
    ImportanceWeighted,
    Reinforce,
    ScoredSequences,
    importance_weighted,
    no_baseline,
    regularised_rewards,
    reinforce,
    truncated_weights,
    vtrace_weights,
)

PI = torch.tensor([0.5, 0.2, 0.9, 0.4])
MU = torch.tensor([0.25, 0.4, 0.6, 0.5])
# The ratios of these tokens are 2, 0.5, 1.5 and 0.8; their product is 1.2.


def scored(agent: Tensor, behaviour: Tensor, rewards: Tensor, prior: Tensor | None = None) -> ScoredSequences:
    lengths = torch.full((len(agent),), agent.shape[1])
    return ScoredSequences(agent, agent.detach() if prior is None else prior, behaviour, lengths, rewards)


@pytest.mark.parametrize(
    ("largest", "largest_trace", "expected"),
    # The advantages of vtrace_advantage_estimate of torchrl 0.14.1 for the reward 0.8 after the last token and the
    # value 0.3 of all states, divided by 0.5.
    [(1.2, 1.0, [0.48, 0.4, 0.96, 0.8]), (1.0, 1.0, [0.4, 0.4, 0.8, 0.8]), (3.0, 0.9, [0.72, 0.36, 1.2, 0.8])],
)
def test_the_weights_of_vtrace_are_those_of_torchrl(
    largest: float, largest_trace: float, expected: list[float]
) -> None:
    log_ratios = (PI / MU).log()[None]
    assert_close(vtrace_weights(log_ratios, torch.tensor([4]), largest, largest_trace), torch.tensor([expected]))


def test_the_weights_of_vtrace_end_with_the_row() -> None:
    log_ratios = torch.stack([(PI / MU).log(), torch.cat([(PI / MU).log()[:2], torch.zeros(2)])])
    found = vtrace_weights(log_ratios, torch.tensor([4, 2]), 1.2, 1.0)
    assert_close(found[1], torch.tensor([1.2 * 0.5, 0.5, 0.0, 0.0]))


def test_importance_weights_by_hand() -> None:
    agent = PI.log()[None].clone().requires_grad_()
    weights = truncated_weights(agent - MU.log(), 1.4)
    assert not weights.requires_grad
    assert_close(weights, torch.tensor([[1.4, 0.5, 1.4, 0.8]]))
    loss = importance_weighted(agent, weights, torch.tensor([0.5]))
    assert float(loss.detach()) == pytest.approx(-0.5 * float((weights * PI.log()).sum()))
    loss.backward()
    assert_close(agent.grad, -0.5 * weights)


@pytest.mark.parametrize(
    ("form", "expected"),
    [("token", [1.4, 0.5, 1.4, 0.8]), ("sequence", [1.2] * 4), ("vtrace", [1.4 * 0.5 * 0.8, 0.4, 1.4 * 0.8, 0.8])],
)
def test_the_forms_of_the_weights_show_in_the_gradient(form: str, expected: list[float]) -> None:
    agent = PI.log()[None].clone().requires_grad_()
    loss = ImportanceWeighted(form, max_weight=1.4, baseline="none")  # type: ignore[arg-type]
    rows = scored(agent, MU.log()[None], torch.tensor([0.5]))
    loss(rows).backward()
    assert_close(agent.grad, -0.5 * torch.tensor([expected]))
    share = {"token": 0.5, "sequence": 0.0, "vtrace": 0.5}[form]
    assert float(loss.clipped(rows)) == share


def test_the_weighted_gradient_of_stored_rows_is_that_of_the_expected_reward() -> None:
    """Over all rows there are, each as often as the behaviour policy draws it."""
    logits = torch.tensor([0.3, -0.2, 0.8, 0.1], requires_grad=True)
    rewards, behaviour = torch.tensor([0.2, 0.9, 0.4, 0.0]), torch.tensor([0.4, 0.3, 0.2, 0.1])
    (expected,) = torch.autograd.grad(-(logits.softmax(0) * rewards).sum(), logits)
    drawn = torch.repeat_interleave(torch.arange(4), (10 * behaviour).long())
    agent = logits.log_softmax(0)[drawn][:, None]
    for form in ("sequence", "token", "vtrace"):
        loss = ImportanceWeighted(form, max_weight=100.0, max_trace=100.0, baseline="mean")  # type: ignore[arg-type]
        made = loss(scored(agent, behaviour.log()[drawn][:, None], rewards[drawn]))
        (found,) = torch.autograd.grad(made, logits, retain_graph=True)
        assert_close(found, expected)


def test_regularised_rewards_have_the_gradient_of_divergence_and_entropy() -> None:
    logits = torch.tensor([0.3, -0.2, 0.8, 0.1], dtype=torch.float64, requires_grad=True)
    rewards = torch.tensor([0.2, 0.9, 0.4, 0.0], dtype=torch.float64)
    prior = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64).log()
    log_probs = logits.log_softmax(0)
    probs = log_probs.exp()
    objective = (probs * rewards).sum() - 0.3 * (probs * (log_probs - prior)).sum() - 0.2 * (probs * log_probs).sum()
    (expected,) = torch.autograd.grad(-objective, logits, retain_graph=True)
    given = regularised_rewards(rewards, log_probs, prior, kl_weight=0.3, entropy_weight=0.2)
    (found,) = torch.autograd.grad(reinforce(log_probs, given, no_baseline, 4 * probs), logits)
    assert_close(found, expected)


def test_the_moving_baseline_is_the_mean_of_earlier_batches() -> None:
    state = Reinforce("moving", decay=0.75).state()
    agent = torch.tensor([[-1.0], [-3.0]])

    def loss(*rewards: float) -> float:
        return float(state(scored(agent, agent, torch.tensor(rewards))))

    # The first batch has its own mean, 0.5: -((0.9 - 0.5) * -1 + (0.1 - 0.5) * -3) / 2.
    assert loss(0.9, 0.1) == pytest.approx((0.4 - 1.2) / 2)
    # Then 0.5, and then 0.5 + 0.25 * (1.0 - 0.5).
    assert loss(1.0, 1.0) == pytest.approx(0.5 * (1 + 3) / 2)
    assert loss(0.0, 0.0) == pytest.approx(-0.625 * (1 + 3) / 2)
    assert {name: float(each) for name, each in state.state_dict().items()} == {"mean": 0.46875, "batches": 3}


def test_reinforce_with_each_baseline_by_hand() -> None:
    agent, rewards = torch.tensor([[-1.0], [-3.0]]), torch.tensor([0.9, 0.1])
    rows = scored(agent, agent, rewards)
    assert float(Reinforce("none")(rows)) == pytest.approx((0.9 + 0.3) / 2)
    assert float(Reinforce("mean")(rows)) == pytest.approx((0.4 - 1.2) / 2)
    assert float(Reinforce("leave_one_out")(rows)) == pytest.approx((0.8 - 2.4) / 2)


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(ValueError, match=r"\[n, L\] of agent, weights, got \(2, 3\), \(2, 4\)"):
        importance_weighted(torch.zeros(2, 3), torch.zeros(2, 4), torch.zeros(2))
    with pytest.raises(ValueError, match=r"\[n\] of advantages, rows, got \(3,\), \(2,\)"):
        importance_weighted(torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(3))
