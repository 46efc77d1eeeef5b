"""Losses, selections, samplers and models of the user that do something else than expected: each error names them."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

import molbuffer as mb
from molbuffer.kinds import PluginError
from molbuffer.lab.arguments import as_loss
from molbuffer.samplers import SmilesFileError, encode_rows, tensors
from molbuffer.samplers.builds.checked_draws import draw_rows_of
from molbuffer.samplers.models import likelihoods
from molbuffer.samplers.models.gru import GRULanguageModel
from molbuffer.samplers.models.protocol import Sequences
from molbuffer.storage import chosen_rows
from molbuffer.training import ScoredSequences
from molbuffer.training.fit.loss_state import LossInTraining


def mean_loss(rows: Any) -> torch.Tensor:
    return -(rows.agent.sum(1) * rows.rewards).mean()


@pytest.fixture
def run_of(lab: mb.Lab, policy: mb.Policy, qed: mb.Objective) -> Callable[..., Any]:
    """Builds eight rows, and trains for an iteration."""

    def work(sampler: Any = None, *, of: mb.Policy = policy, **training: Any) -> Any:
        with lab.run("foreign", objective=qed, policy=of, seed=0) as run:
            run.build(mb.ModelSampler("agent", run.agent) if sampler is None else sampler, n=8)
            return run.train(**({"batch_size": 4, "iterations": 1, "loss": mean_loss} | training))

    return work


def a_vector(rows: Any) -> Any:
    return rows.agent.sum(1)


def a_float(rows: Any) -> Any:
    return 0.5


def detached(rows: Any) -> Any:
    return rows.agent.mean().detach()


def nothing(rows: Any) -> Any:
    return None


def raising(rows: Any) -> Any:
    return rows.no_such_column


@pytest.mark.parametrize(
    ("loss", "got"),
    [
        (a_vector, r"a tensor float32 \[4\], expected a scalar"),
        (a_float, "0.5, expected a scalar tensor"),
        (detached, "a tensor without a gradient"),
        (nothing, "None, expected"),
        (raising, "failed when it was asked .*AttributeError.*no_such_column"),
    ],
)
def test_a_loss_that_gives_something_else_is_named(policy: mb.Policy, loss: Any, got: str) -> None:
    agent = torch.zeros(4, 3, requires_grad=True) - 1
    rows = ScoredSequences(agent, agent.detach(), agent.detach(), torch.full((4,), 3), torch.ones(4))
    with pytest.raises(PluginError, match=f"the loss .*:{loss.__name__} .*{got}"):
        LossInTraining(as_loss(loss), torch.device("cpu"))(rows)


def test_a_run_with_such_a_loss_or_sampler_fails_with_its_name(run_of: Any, policy: mb.Policy) -> None:
    with pytest.raises(PluginError, match="a_vector"):
        run_of(loss=a_vector)
    with pytest.raises(PluginError, match="Drawing"):
        run_of(Drawing(lambda n, vocabulary: None, policy.vocabulary))


class Choosing:
    """A selection that gives what it was made with."""

    def __init__(self, found: Any, available: Any = None) -> None:
        self.found, self.says = found, available

    def available(self, rows: Any, consumed: Any) -> Any:
        return len(rows) if self.says is None else self.says

    def draw(self, rows: Any, n: int, rng: Any, consumed: Any) -> Any:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


@pytest.mark.parametrize(
    ("found", "available", "got"),
    [
        (np.arange(5), None, "5 positions, expected"),
        (np.arange(3), None, "3 positions, expected"),
        (np.array([0, 1, 2, -1]), None, "the position -1"),
        (np.array([0, 1, 2, 8]), None, "the position 8"),
        (np.array([0, 1, 2, 2]), None, "a position twice"),
        (np.array([0.0, 1.0, 2.0, 3.0]), None, "float64"),
        (None, None, "None"),
        (["a"], None, "'a'"),
        (RuntimeError("of the user"), None, "RuntimeError: of the user"),
        (np.arange(4), 9, "9 as available"),
        (np.arange(4), 4.0, "4.0 as available"),
    ],
)
def test_a_selection_that_chooses_something_else_is_named(found: Any, available: Any, got: str) -> None:
    eight: Any = range(8)
    with pytest.raises(PluginError, match=f"selection .*:Choosing .*{got}"):
        chosen_rows(Choosing(found, available), eight, 4, np.random.default_rng(0), np.zeros(8, np.int32))


def test_the_buffer_and_a_sampler_of_the_history_look_at_what_is_chosen(
    lab: mb.Lab, policy: mb.Policy, qed: mb.Objective
) -> None:
    twice: Any = Choosing(np.zeros(4, np.int64))
    with lab.run("rows", objective=qed, policy=policy, seed=0) as run:
        run.build(mb.ModelSampler("agent", run.agent), n=8)
        with pytest.raises(PluginError, match="Choosing"):
            mb.HistorySampler("best", run.stored_rows(), run.vocabulary, selection=twice).draw(4, seed=0)
    with pytest.raises(PluginError, match="Choosing"):
        _ = lab.dataset(qed, batch_size=4, policy=policy, selection=twice, batches=1)[0]


class Drawing(mb.Sampler):
    """A sampler that draws what it was made with."""

    kind: ClassVar[str] = "drawing"

    def __init__(self, draws: Callable[[int, Any], Any], vocabulary: Any) -> None:
        self.name, self.size, self.draws, self.vocabulary = "mine", mb.SamplerSize(), draws, vocabulary

    def draw(self, n: int, seed: int) -> Any:
        return self.draws(n, self.vocabulary)


@pytest.mark.parametrize(
    ("draws", "got"),
    [
        (lambda n, vocabulary: None, "None, expected a Draw of up to 8 rows"),
        (lambda n, vocabulary: mb.Draw(["CCO"] * n, encode_rows(["CCO"] * 3, vocabulary)), "8 strings, 3 rows"),
        (lambda n, vocabulary: mb.Draw([None] * n, encode_rows(["CCO"] * n, vocabulary)), "None among its strings"),
        (lambda n, vocabulary: mb.Draw(["CCO"] * 2 * n, encode_rows(["CCO"] * 2 * n, vocabulary)), "16 rows"),
        (lambda n, vocabulary: mb.Draw(["CCO"] * n, None), "None as rows"),
        (lambda n, vocabulary: 1 / 0, "failed .*ZeroDivisionError"),
    ],
)
def test_a_sampler_that_draws_something_else_is_named(policy: mb.Policy, draws: Any, got: str) -> None:
    with pytest.raises(PluginError, match=f"the sampler .*:Drawing .*{got}"):
        draw_rows_of(Drawing(draws, policy.vocabulary), 8, seed=0)


class Model(GRULanguageModel):
    """A model whose answers are changed by functions."""

    drawn: ClassVar[Callable[[Any], Any]]
    found: ClassVar[Callable[[Any], Any]]

    def sample(self, *args: Any, **more: Any) -> Any:
        return type(self).drawn(super().sample(*args, **more))

    def log_probs(self, *args: Any, **more: Any) -> Any:
        return type(self).found(super().log_probs(*args, **more))


def same(found: Any) -> Any:
    return found


def raises(found: Any) -> Any:
    raise ValueError("of the user")


@pytest.mark.parametrize(
    ("drawn", "found", "got"),
    [
        (lambda s: s.tokens, same, r"in sample\(\), expected Sequences"),
        (
            lambda s: Sequences(s.tokens, s.lengths[:-1], s.log_probs),
            same,
            r"int64 \[7\] as lengths, expected int64 \[8\]",
        ),
        (lambda s: Sequences(s.tokens.float(), s.lengths, s.log_probs), same, "float32 .* as tokens"),
        (lambda s: Sequences(s.tokens + 90, s.lengths, s.log_probs), same, "a token outside of the vocabulary"),
        (lambda s: Sequences(s.tokens, s.lengths + 99, s.log_probs), same, "lengths outside of its tokens"),
        (lambda s: Sequences(s.tokens, s.lengths, s.log_probs.sum(1)), same, "as log_probs"),
        (raises, same, "failed .*of the user"),
        (same, lambda p: p.sum(1), r"float32 \[8\] as log_probs\(\)"),
        (same, lambda p: None, r"None as log_probs\(\)"),
        (same, raises, "failed .*of the user"),
    ],
)
def test_a_model_whose_answers_have_another_shape_is_named(policy: mb.Policy, drawn: Any, found: Any, got: str) -> None:
    class Wrong(Model):
        pass

    Wrong.drawn, Wrong.found = staticmethod(drawn), staticmethod(found)
    model = Wrong(policy.model.sizes)
    model.load_state_dict(policy.model.state_dict())
    wrong = mb.Policy.of(model.eval(), policy.vocabulary)
    with pytest.raises(PluginError, match=f"the model .*Wrong .*{got}"):
        rows = tensors(mb.ModelSampler("wrong", lambda: wrong).draw(8, seed=0).rows)
        likelihoods(wrong.model, rows["tokens"], rows["lengths"])


def test_errors_of_molbuffer_itself_pass_as_they_are(policy: mb.Policy) -> None:
    def draw(n: int, vocabulary: Any) -> Any:
        raise SmilesFileError(Path("mine.smi"), "it is gone")

    with pytest.raises(SmilesFileError, match=r"mine.smi: it is gone"):
        draw_rows_of(Drawing(draw, policy.vocabulary), 8, seed=0)


EXIT = """
import os, molbuffer as mb

class Ending:
    name, kind, version, cost, bounded, parallel = "ending", "ending", "1", "low", True, False
    def values(self, molecules):
        os._exit(3)

with mb.open({store!r}) as lab, lab.run("ended", objective=mb.Objective([Ending()]), seed=0) as run:
    run.build(mb.ModelSampler("agent", run.agent), n=4)
"""


def test_a_run_whose_component_ends_the_process_is_lost(empty_store: Path, tmp_path: Path) -> None:
    store = shutil.copytree(empty_store, tmp_path / "lab")
    done = subprocess.run([sys.executable, "-c", EXIT.format(store=str(store))], capture_output=True, check=False)
    assert done.returncode == 3
    with mb.open(store) as lab:
        assert lab.runs()["status"].to_list() == ["lost"]
        assert "process" in lab.runs()["detail"].item()
