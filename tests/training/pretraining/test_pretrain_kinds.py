"""Every kind of language model learns a language of which all is known."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from molbuffer.samplers.models.protocol import GenerativeModel
from molbuffer.samplers.models.registry import MODELS
from molbuffer.samplers.tokens.vocabulary import RESERVED, Vocabulary
from molbuffer.training.checkpoint import RunCheckpoints
from molbuffer.training.pretraining.corpus import Corpus
from molbuffer.training.pretraining.pretrain import PretrainProgress, held_out_loss, pretrain
from molbuffer.training.pretraining.settings import PretrainSettings

CHAINS = Vocabulary((*RESERVED, "C", "N", "O"))
LANGUAGE = ("CON", "COCON", "COCOCON")
SETTINGS = PretrainSettings(
    epochs=30, decay_epochs=20, batch_size=32, learning_rate=1e-2, warmup_steps=10, held_out=30, patience=99, seed=3
)
SIZES = {
    "gru": {"embedding_size": 16, "hidden_size": 32},
    "lstm": {"embedding_size": 16, "hidden_size": 32},
    "transformer": {"hidden_size": 32, "heads": 2},
}


def make_model(kind: str, dropout: float = 0.0) -> GenerativeModel:
    torch.manual_seed(0)
    sizes = {"vocabulary_size": len(CHAINS), "layers": 2, "max_length": 10, "dropout": dropout}
    return MODELS[kind].make({**sizes, **SIZES[kind]})


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    """Each of three chains as often as the others."""
    smiles = np.random.default_rng(0).permutation(LANGUAGE * 100).tolist()
    return Corpus.split(smiles, CHAINS, held_out=30, seed=1)


@pytest.mark.parametrize("kind", SIZES)
def test_a_model_learns_all_there_is_to_learn(corpus: Corpus, kind: str) -> None:
    model = make_model(kind)
    before = held_out_loss(model, corpus, 16)
    after = pretrain(model, corpus, SETTINGS)
    # A new model guesses each of 6 tokens on average among 4; of a chain only its length is chance. Those of a batch
    # are of like length, and its loss is a mean over tokens, so that short chains weigh somewhat more.
    assert before > 6
    assert abs(after - math.log(3)) < 0.1
    drawn = model.sample(200, generator=torch.Generator().manual_seed(1))
    chains = CHAINS.decode(drawn.tokens.numpy(), drawn.lengths.numpy())
    assert sum(chain in LANGUAGE for chain in chains) >= 195
    assert min(chains.count(chain) for chain in LANGUAGE) > 30


@pytest.mark.parametrize("kind", ["lstm", "transformer"])
def test_half_precision_products_train_as_well(corpus: Corpus, kind: str) -> None:
    model = make_model(kind)
    after = pretrain(model, corpus, replace(SETTINGS, epochs=12, decay_epochs=6, precision="bfloat16"))
    assert after < math.log(3) + 0.3
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


class StoppedError(Exception):
    """What stops a training in these tests."""


@pytest.mark.parametrize("kind", ["lstm", "transformer"])
def test_a_resumed_training_equals_an_uninterrupted_one(corpus: Corpus, checkpoints: RunCheckpoints, kind: str) -> None:
    settings = replace(SETTINGS, epochs=2, decay_epochs=1, checkpoint_seconds=0.0)
    whole = make_model(kind, dropout=0.2)
    pretrain(whole, corpus, settings)

    def stop(report: PretrainProgress) -> None:
        if report.step == 11:
            raise StoppedError

    with pytest.raises(StoppedError):
        pretrain(make_model(kind, dropout=0.2), corpus, settings, checkpoints=checkpoints, progress=stop)
    resumed = make_model(kind, dropout=0.2)
    pretrain(resumed, corpus, settings, checkpoints=checkpoints)
    for name, weights in whole.state_dict().items():
        assert torch.equal(weights, resumed.state_dict()[name]), name
