"""Adam is that of torch, and needs none of its compiler."""

import subprocess
import sys

import pytest
import torch
from torch.testing import assert_close

from molbuffer.training.adam import Adam


def problem() -> tuple[list[torch.nn.Parameter], list[list[torch.Tensor]]]:
    torch.manual_seed(0)
    parameters = [torch.nn.Parameter(torch.randn(5, 3)), torch.nn.Parameter(torch.randn(7))]
    return parameters, [[torch.randn_like(each) * scale for each in parameters] for scale in (1.0, 1e-6, 30.0, 0.0)]


@pytest.mark.parametrize("fused", [True, False])
def test_steps_are_those_of_torch_and_go_on_after_a_checkpoint(fused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not fused:
        monkeypatch.setattr(
            Adam, "_fused_step", lambda self, *both: [self._step(*each) for each in zip(*both, strict=True)]
        )
    ours, gradients = problem()
    theirs, _ = problem()
    optimizer, expected = Adam(ours, 0.03), torch.optim.Adam(theirs, 0.03)
    for number, gradient in enumerate(gradients):
        for parameters in (ours, theirs):
            for parameter, value in zip(parameters, gradient, strict=True):
                parameter.grad = value.clone()
        # The state goes from ours to torch's and back, as between an old checkpoint and a new one.
        if number == 2:
            state = expected.state_dict()
            expected.load_state_dict({**optimizer.state_dict(), "param_groups": state["param_groups"]})
            optimizer = Adam(ours, 0.03)
            optimizer.load_state_dict(state)
        optimizer.step()
        expected.step()
        for got, wanted in zip(ours, theirs, strict=True):
            assert_close(got, wanted, atol=1e-6, rtol=1e-5)
    optimizer.zero_grad()
    before = [each.detach().clone() for each in ours]
    optimizer.step()
    assert all(torch.equal(each, old) for each, old in zip(ours, before, strict=True)), "nothing has a gradient"


def test_a_state_of_other_parameters_is_refused() -> None:
    ours, gradients = problem()
    optimizer = Adam(ours, 0.1)
    for parameter, value in zip(ours, gradients[0], strict=True):
        parameter.grad = value
    optimizer.step()
    with pytest.raises(ValueError, match="2 parameters"):
        Adam(reversed(ours), 0.1).load_state_dict(optimizer.state_dict())


def test_a_learner_does_not_import_the_compiler_of_torch() -> None:
    program = """
import sys, torch
from molbuffer.samplers import find_policy, load_policy
from molbuffer.training import Learner, Reinvent, TrainingBatch
learner = Learner(load_policy(find_policy("zinc-gru")), Reinvent())
drawn = learner.policy().model.sample(2, generator=torch.Generator().manual_seed(0))
columns = {"tokens": drawn.tokens, "lengths": drawn.lengths, "log_probs": drawn.log_probs, "rewards": torch.rand(2)}
learner.step(TrainingBatch(0, columns, ["live"] * 2))
learner.checkpoint_files({})
print("torch._dynamo" in sys.modules, "pandas" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["False", "False"], done.stderr
