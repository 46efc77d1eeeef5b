from dataclasses import replace

import numpy as np
import pytest
import torch

from molbuffer.samplers.models.gru import GRUArchitecture, GRULanguageModel
from molbuffer.samplers.policies.policy import Policy
from molbuffer.samplers.tokens.vocabulary import RESERVED, Vocabulary
from molbuffer.training.checkpoint import RunCheckpoints
from molbuffer.training.pretraining.corpus import Corpus
from molbuffer.training.pretraining.data import PretrainData
from molbuffer.training.pretraining.pretrain import PretrainProgress, held_out_loss, pretrain
from molbuffer.training.pretraining.quality import draw_quality
from molbuffer.training.pretraining.settings import PretrainSettings
from molbuffer.training.pretraining.transfer import BeforeTransfer

CHAINS = Vocabulary((*RESERVED, "C", "N", "O"))
SETTINGS = PretrainSettings(
    epochs=4, decay_epochs=1, batch_size=16, learning_rate=1e-2, warmup_steps=4, held_out=20, patience=99, seed=3
)


class StoppedError(Exception):
    """What stops a training in these tests."""


def make_model(dropout: float = 0.0) -> GRULanguageModel:
    torch.manual_seed(0)
    return GRULanguageModel(
        GRUArchitecture(len(CHAINS), embedding_size=16, hidden_size=32, layers=2, max_length=10, dropout=dropout)
    )


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    """Chains in which C and O alternate: much can be learnt of them."""
    rng = np.random.default_rng(0)
    smiles = ["CO" * int(n) + "N" for n in rng.integers(1, 4, 200)]
    return Corpus.split(smiles, CHAINS, held_out=20, seed=1)


def test_a_corpus_is_split_into_two_parts(corpus: Corpus) -> None:
    assert len(corpus.held_out) == 20
    assert sorted([*corpus.held_out.tolist(), *corpus.training.tolist()]) == list(range(200))


def test_training_lowers_the_held_out_loss(corpus: Corpus) -> None:
    model = make_model()
    before = held_out_loss(model, corpus, 16)
    after = pretrain(model, corpus, SETTINGS)
    assert after < 0.5 * before
    assert after == pytest.approx(held_out_loss(model, corpus, 16))


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_a_resumed_training_equals_an_uninterrupted_one(
    corpus: Corpus, checkpoints: RunCheckpoints, dropout: float
) -> None:
    settings = replace(SETTINGS, epochs=2, checkpoint_seconds=0.0)
    whole = make_model(dropout)
    pretrain(whole, corpus, settings)

    def stop(report: PretrainProgress) -> None:
        if report.step == 15:
            raise StoppedError

    with pytest.raises(StoppedError):
        pretrain(make_model(dropout), corpus, settings, checkpoints=checkpoints, progress=stop)
    resumed = make_model(dropout)
    torch.manual_seed(99)
    steps: list[int] = []
    pretrain(resumed, corpus, settings, checkpoints=checkpoints, progress=lambda report: steps.append(report.step))
    assert steps[0] == 15, "the step whose checkpoint was not written is done again"
    for name, weights in whole.state_dict().items():
        assert torch.equal(weights, resumed.state_dict()[name]), name


def test_early_stopping_enters_the_decay(corpus: Corpus) -> None:
    reports: list[PretrainProgress] = []
    # With a rate of 0 no validation is better than the first: the third begins the decay of one epoch.
    settings = replace(SETTINGS, epochs=20, patience=2, learning_rate=0.0)
    pretrain(make_model(), corpus, settings, progress=reports.append)
    per_epoch = -(-180 // 16)
    assert [report.step for report in reports] == list(range(1, 4 * per_epoch + 1))
    assert reports[0].steps == 20 * per_epoch and reports[-1].steps == 4 * per_epoch


def test_transfer_learning_ends_with_the_weights_that_were_best_on_what_is_held_out(
    corpus: Corpus, checkpoints: RunCheckpoints
) -> None:
    # At this rate the loss soon rises again.
    settings = replace(SETTINGS, epochs=40, patience=2, learning_rate=0.2, keep_best=True, checkpoint_seconds=0.0)
    losses: list[float] = []

    def watch(report: PretrainProgress) -> None:
        if report.validation_loss is not None:
            losses.append(report.validation_loss)

    model = make_model()
    ended_with = pretrain(model, corpus, settings, checkpoints=checkpoints, progress=watch)
    assert ended_with == pytest.approx(min(losses))
    assert losses.index(min(losses)) == len(losses) - 1 - 2 < 39
    # A resumed training has them, too, and does not go on.
    again, steps = make_model(), list[int]()
    other = pretrain(
        again, corpus, settings, checkpoints=checkpoints, progress=lambda report: steps.append(report.step)
    )
    assert (steps, other) == ([], pytest.approx(ended_with))


def test_transfer_learning_that_gains_nothing_leaves_the_policy_as_it_was(corpus: Corpus) -> None:
    model, before = make_model(), make_model()
    pretrain(model, corpus, replace(SETTINGS, epochs=9, patience=1, learning_rate=10.0, keep_best=True))
    for name, weights in before.state_dict().items():
        assert torch.equal(weights, model.state_dict()[name]), name


def test_forgetting_is_the_loss_on_what_the_old_policy_draws(corpus: Corpus) -> None:
    model = make_model()
    pretrain(model, corpus, SETTINGS)
    policy = Policy(model, CHAINS, "old")
    data = PretrainData(corpus, CHAINS, {}, lambda policy, draws, seed: {"validity": 0.5, "drawn": draws})
    before = BeforeTransfer.of(policy, data, draws=400, seed=1, batch_size=64)
    assert before.metrics == {
        "held_out_nll_before": pytest.approx(held_out_loss(model, corpus, 16)),
        "validity_before": 0.5,
    }
    same = before.compared_with(model, 64)
    assert (same["old_nll"], same["forgetting"]) == (pytest.approx(same["old_nll_before"]), pytest.approx(0))
    # It draws what it was trained on: their losses are alike.
    assert same["old_nll_before"] == pytest.approx(held_out_loss(model, corpus, 16), abs=1)
    assert before.compared_with(make_model(), 64)["forgetting"] > 1


def test_the_quality_of_draws_by_hand() -> None:
    # CCO twice (once written otherwise) and CCN parse; one is known.
    assert draw_quality(["CCO", "OCC", "CCN", "CC("], {"CCO"}) == {
        "drawn": 4,
        "validity": 0.75,
        "uniqueness": pytest.approx(2 / 3),
        "novelty": 0.5,
    }


def test_the_quality_of_nothing_is_undefined() -> None:
    assert draw_quality([], set()) == {"drawn": 0, "validity": None, "uniqueness": None, "novelty": None}
    assert draw_quality(["C("], set()) == {"drawn": 1, "validity": 0.0, "uniqueness": None, "novelty": None}


def test_half_precision_products_train_as_well(corpus: Corpus) -> None:
    model = make_model()
    before = held_out_loss(model, corpus, 16)
    after = pretrain(model, corpus, replace(SETTINGS, precision="bfloat16"))
    assert after < 0.5 * before
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ValueError, match=r"float32, bfloat16.*'float8'"):
        PretrainSettings(precision="float8")
