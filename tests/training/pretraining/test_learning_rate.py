"""Warm-up, stable phase and decay of a pretraining, seen at the optimizer."""

from dataclasses import replace

import pytest
import torch

from molbuffer.samplers.models.gru import GRUArchitecture, GRULanguageModel
from molbuffer.samplers.tokens.vocabulary import RESERVED, Vocabulary
from molbuffer.training.adam import Adam
from molbuffer.training.checkpoint import RunCheckpoints
from molbuffer.training.pretraining.pretrain import Corpus, PretrainProgress, pretrain
from molbuffer.training.pretraining.settings import PretrainSettings

CHAINS = Vocabulary((*RESERVED, "C", "N", "O"))
PER_EPOCH = 4
"""Steps: 60 chains, 6 of them held out, in batches of 16."""
SETTINGS = PretrainSettings(epochs=5, decay_epochs=2, batch_size=16, warmup_steps=3, checkpoint_seconds=0.0)
DECAY = [(2 * PER_EPOCH - i) / (2 * PER_EPOCH) for i in range(2 * PER_EPOCH)]


class RecordingAdam(Adam):
    """Remembers the learning rate of each step."""

    rates: list[float]

    def step(self) -> None:
        self.rates.append(self.learning_rate)
        super().step()


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The learning rate of every step that is made from now on."""
    RecordingAdam.rates = []
    monkeypatch.setattr("molbuffer.training.pretraining.pretrain.Adam", RecordingAdam)
    return RecordingAdam.rates


@pytest.fixture
def corpus() -> Corpus:
    return Corpus.split(["C" * n + "O" * m for n in range(1, 7) for m in range(10)], CHAINS, 20, seed=0)


def make_model() -> GRULanguageModel:
    torch.manual_seed(0)
    return GRULanguageModel(GRUArchitecture(len(CHAINS), embedding_size=8, hidden_size=8, layers=1, max_length=20))


def test_it_rises_holds_and_falls_to_nothing(corpus: Corpus, rates: list[float]) -> None:
    pretrain(make_model(), corpus, SETTINGS)
    shares = [rate / SETTINGS.learning_rate for rate in rates]
    assert shares == pytest.approx([1 / 3, 2 / 3, *[1.0] * (3 * PER_EPOCH - 2), *DECAY])


@pytest.mark.parametrize("epochs", [1, 2])
@pytest.mark.parametrize("warmup_steps", [0, 300])
def test_a_training_shorter_than_its_warm_up_goes_downhill_all_the_same(
    rates: list[float], epochs: int, warmup_steps: int
) -> None:
    corpus = Corpus.split(["C" * n for n in range(1, 14)], CHAINS, 2, seed=0)
    settings = PretrainSettings(epochs=epochs, batch_size=8, warmup_steps=warmup_steps)
    pretrain(make_model(), corpus, settings)
    assert len(rates) == 2 * epochs
    assert all(0 < rate <= settings.learning_rate for rate in rates)


def test_a_training_stopped_in_an_early_decay_goes_on_with_it(
    corpus: Corpus, rates: list[float], checkpoints: RunCheckpoints
) -> None:
    # With a rate of next to nothing no validation betters the first: two more, and the decay begins.
    settings = replace(SETTINGS, epochs=200, patience=2, learning_rate=1e-30)

    def stop(report: PretrainProgress) -> None:
        if report.step == 4 * PER_EPOCH:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(make_model(), corpus, settings, checkpoints=checkpoints, progress=stop)
    assert [rate / settings.learning_rate for rate in rates[3 * PER_EPOCH :]] == pytest.approx(DECAY[:PER_EPOCH])
    rates.clear()
    pretrain(make_model(), corpus, settings, checkpoints=checkpoints)
    assert [rate / settings.learning_rate for rate in rates] == pytest.approx(DECAY[PER_EPOCH - 1 :])


def test_a_finished_training_is_not_gone_on_with(
    corpus: Corpus, rates: list[float], checkpoints: RunCheckpoints
) -> None:
    first = pretrain(make_model(), corpus, SETTINGS, checkpoints=checkpoints)
    rates.clear()
    assert pretrain(make_model(), corpus, SETTINGS, checkpoints=checkpoints) == first
    assert rates == []


def test_a_finished_training_can_be_given_more_epochs(
    corpus: Corpus, rates: list[float], checkpoints: RunCheckpoints
) -> None:
    pretrain(make_model(), corpus, SETTINGS, checkpoints=checkpoints)
    rates.clear()
    pretrain(make_model(), corpus, replace(SETTINGS, epochs=8), checkpoints=checkpoints)
    shares = [rate / SETTINGS.learning_rate for rate in rates]
    assert shares == pytest.approx([*[1.0] * PER_EPOCH, *DECAY])
