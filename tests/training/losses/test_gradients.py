"""The gradient of each loss agrees with finite differences, in double precision."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from molbuffer.training.losses import (
    LOSSES,
    ScoredSequences,
    advantage_actor,
    advantage_weighted,
    augmented_hill_climb,
    best_agent_reminder,
    dpo,
    filtered_cloning,
    grpo,
    gspo,
    importance_weighted,
    leave_one_out,
    off_policy_reinvent,
    ppo,
    reinforce,
    reinvent,
    top_share_likelihood,
    trajectory_balance,
)

N, LONGEST = 5, 3
RANDOM = torch.Generator().manual_seed(2)


def random(*shape: int) -> Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=RANDOM)


LENGTHS = torch.tensor([3, 2, 1, 3, 2])
INSIDE = torch.arange(LONGEST) < LENGTHS[:, None]
AGENT, PRIOR = -random(N, LONGEST) * INSIDE, -random(N, LONGEST) * INSIDE
# Ratios that are clipped and others, none of them on the bound.
BEHAVIOUR = (AGENT + 0.6 * (random(N, LONGEST) - 0.5)) * INSIDE
TOKENS = torch.tensor([[3, 4, 2], [4, 2, 0], [2, 0, 0], [3, 3, 2], [5, 2, 0]])
REWARDS, ADVANTAGES, WEIGHTS = random(N), random(N) - 0.5, random(N, LONGEST)

OF_ROWS: dict[str, Callable[[Tensor], Tensor]] = {
    "advantage_weighted": lambda agent: advantage_weighted(agent, REWARDS, 0.3, 2.0),
    "augmented_hill_climb": lambda agent: augmented_hill_climb(agent, PRIOR.sum(1), REWARDS, 5.0, 0.5),
    "best_agent_reminder": lambda agent: best_agent_reminder(
        agent, PRIOR.sum(1), BEHAVIOUR.sum(1), torch.arange(N) % 2 == 0, REWARDS, 5.0, 0.3
    ),
    "dpo": lambda agent: dpo(agent[:2], agent[2:4], 0.7),
    "filtered_cloning": lambda agent: filtered_cloning(agent, REWARDS, 0.5),
    "reinforce": lambda agent: reinforce(agent, REWARDS, leave_one_out, WEIGHTS[:, 0]),
    "reinvent": lambda agent: reinvent(agent, PRIOR.sum(1), REWARDS, 5.0),
    "top_share_likelihood": lambda agent: top_share_likelihood(agent, REWARDS, 0.5),
}
OF_TOKENS: dict[str, Callable[[Tensor], Tensor]] = {
    "a2c": lambda agent: advantage_actor(agent, WEIGHTS - 0.5),
    "grpo": lambda agent: grpo(agent, PRIOR, BEHAVIOUR, ADVANTAGES, LENGTHS, 0.1, 0.15, 0.3),
    "gspo": lambda agent: gspo(agent, BEHAVIOUR, ADVANTAGES, LENGTHS, 0.05, 0.05),
    "importance_weighted": lambda agent: importance_weighted(agent, WEIGHTS, ADVANTAGES),
    "ppo": lambda agent: ppo(agent, BEHAVIOUR, ADVANTAGES, LENGTHS, 0.1),
}


def gradcheck(loss: Callable[..., Tensor], *inputs: Tensor) -> bool:
    return bool(torch.autograd.gradcheck(loss, [each.detach().clone().requires_grad_() for each in inputs]))


@pytest.mark.parametrize("kind", [*OF_ROWS, *OF_TOKENS])
def test_the_gradient_agrees_with_finite_differences(kind: str) -> None:
    assert gradcheck(OF_ROWS[kind], AGENT.sum(1)) if kind in OF_ROWS else gradcheck(OF_TOKENS[kind], AGENT)


def test_the_gradient_of_trajectory_balance_is_right_in_both_of_its_arguments() -> None:
    log_z = torch.tensor(0.7, dtype=torch.float64)
    assert gradcheck(
        lambda agent, z: trajectory_balance(agent, PRIOR.sum(1), REWARDS, z, 5.0, 0.5), AGENT.sum(1), log_z
    )


def test_the_gradient_of_off_policy_reinvent_is_that_of_its_weights_held_fixed() -> None:
    rows = AGENT.sum(1)
    weights = (rows - BEHAVIOUR.sum(1)).exp().clamp(max=1.1)
    agent = rows.clone().requires_grad_()
    off_policy_reinvent(agent, PRIOR.sum(1), BEHAVIOUR.sum(1), REWARDS, 5.0, 1.1).backward()
    expected = [
        torch.autograd.functional.jacobian(
            lambda x, i=i: reinvent(x[i : i + 1], PRIOR.sum(1)[i : i + 1], REWARDS[i : i + 1], 5.0), rows
        )
        for i in range(N)
    ]
    torch.testing.assert_close(agent.grad, sum(w * each for w, each in zip(weights, expected, strict=True)) / N)


def test_every_loss_is_here() -> None:
    own = {name for name, kind in LOSSES.kinds.items() if kind.is_own}
    assert own == {*OF_ROWS, *OF_TOKENS, "trajectory_balance", "off_policy_reinvent"}


@pytest.mark.parametrize("kind", [name for name, kind in LOSSES.kinds.items() if kind.is_own and name != "reinforce"])
def test_the_gradient_of_each_row_is_multiplied_by_its_weight(kind: str) -> None:
    """REINFORCE is left out: its baseline depends on the weights, and its rows, which are live, have none."""
    loss = LOSSES[kind]()

    def gradient(weights: Tensor | None) -> Tensor:
        agent = AGENT.detach().clone().requires_grad_()
        loss(ScoredSequences(agent, PRIOR, BEHAVIOUR, LENGTHS, REWARDS, None, weights, TOKENS)).backward()
        assert agent.grad is not None
        return agent.grad

    plain = gradient(None)
    assert plain.abs().sum() > 0
    torch.testing.assert_close(gradient(torch.ones(N)), plain)
    factors = torch.full((N,), 2.0) if kind == "dpo" else torch.tensor([2.0, 0.0, 1.0, 0.5, 3.0])
    of_pairs = factors**2 if kind == "dpo" else factors
    torch.testing.assert_close(gradient(factors), plain * of_pairs[:, None])
