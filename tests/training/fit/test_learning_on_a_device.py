"""A policy learns on a device what it learns on the CPU. No GPU is needed: see ``fake_device.py``."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from molbuffer.samplers.latent import LatentSampler
from molbuffer.samplers.latents.source import LatentState, LatentTable
from molbuffer.samplers.models.registry import MODELS
from molbuffer.samplers.policies.policy import Policy, fingerprint, load_policy
from molbuffer.samplers.tokens.vocabulary import Vocabulary
from molbuffer.storage import SampleStore
from molbuffer.storage.rows import Rows
from molbuffer.training.batches.batch import Block, TrainingBatch, join
from molbuffer.training.fit.learner import Learner, LearnerSettings
from molbuffer.training.latents.trainers import VectorTrainer
from molbuffer.training.losses import Reinvent
from molbuffer.training.pretraining.corpus import Corpus
from molbuffer.training.pretraining.elbo import NegativeELBO
from molbuffer.training.pretraining.pretrain import negative_log_likelihood, pretrain
from molbuffer.training.pretraining.settings import PretrainSettings

SIZES: Mapping[str, Mapping[str, Any]] = {
    "gru": {"embedding_size": 8, "hidden_size": 16, "dropout": 0.1},
    "lstm": {"embedding_size": 8, "hidden_size": 16},
    "transformer": {"hidden_size": 16, "layers": 1, "heads": 2},
    "seq2seq": {"hidden_size": 16, "encoder_layers": 1, "decoder_layers": 1, "heads": 2},
    "vae": {"latent_size": 3, "embedding_size": 8, "encoder_size": 8, "hidden_size": 16, "word_dropout": 0.2},
}
EVERY = (*SIZES, "huggingface")
MakePolicy = Callable[[str], Policy]


@pytest.fixture
def make_policy(huggingface: ModuleType, vocabulary: Vocabulary, molecules: list[str], tmp_path: Path) -> MakePolicy:
    def make(name: str) -> Policy:
        if name == "huggingface":
            return load_policy(huggingface.save_model(tmp_path / name, "llama", huggingface.tokenizer_of(molecules)))
        torch.manual_seed(0)
        model = MODELS[name].make({"vocabulary_size": len(vocabulary), "max_length": 60, **SIZES[name]}).eval()
        return Policy(model, vocabulary, fingerprint(model, vocabulary))

    return make


def shortest(molecules: list[str], n: int) -> list[str]:
    """The device computes slowly."""
    return sorted(molecules, key=len)[:n]


def batch_of(policy: Policy, molecules: list[str]) -> TrainingBatch:
    molecules = shortest(molecules, 6)
    tokens, lengths = policy.vocabulary.encode_many(molecules)
    rewards = np.linspace(0, 1, len(molecules))
    latents = np.where(np.arange(len(molecules))[:, None] % 2, np.nan, np.ones((1, 3))).astype(np.float32)
    rows = Rows(
        tokens=tokens, lengths=lengths, log_probs=np.zeros(tokens.shape, np.float32), rewards=rewards,
        latents=latents, source_tokens=tokens[::-1], source_lengths=lengths[::-1],
    )  # fmt: skip
    return join(0, [Block("live", rows, list)])


@pytest.mark.parametrize("name", EVERY)
def test_a_device_learns_what_the_cpu_learns_and_a_checkpoint_goes_from_one_to_the_other(
    make_policy: MakePolicy,
    name: str,
    fake_device: ModuleType,
    molecules: list[str],
    store: SampleStore,
    tmp_path: Path,
) -> None:
    def learner(device: str | torch.device) -> Learner:
        policy = make_policy(name)
        policy.model.to(device)
        return Learner(policy, Reinvent(sigma=20.0), LearnerSettings(1e-2, precision="float32"))

    def saved(learner: Learner, folder: str) -> Path:
        (tmp_path / folder).mkdir()
        for file, content in learner.checkpoint_files({}).items():
            (tmp_path / folder / file).write_bytes(content)
        return tmp_path / folder

    batch = batch_of(make_policy(name), molecules)
    here = learner("cpu")
    losses = [here.step(batch)]
    half = saved(here, "cpu")
    losses += [here.step(batch) for _ in range(2)]
    with fake_device.FakeDevice() as device:
        there = learner(fake_device.DEVICE)
        assert there.step(batch) == pytest.approx(losses[0], rel=1e-4)
        assert there.policy().model.device == fake_device.DEVICE
        assert device.operations > 100
        other, resumed = learner("cpu"), learner(fake_device.DEVICE)
        other.restore(saved(there, "device"))
        with pytest.warns(UserWarning, match="meta parameter"):
            # torch says so of the fake device, whose tensors do take what is copied to them.
            resumed.restore(half)
        for each in (there, other, resumed):
            assert [each.step(batch) for _ in range(2)] == pytest.approx(losses[1:], rel=1e-3)
        version = there.publish(store.policies, "run", 1)
        assert version.sha256 == there.policy().sha256
    published = load_policy(store.policies.folder(version.sha256)).model.state_dict()
    for weight, expected in here.policy().model.state_dict().items():
        torch.testing.assert_close(published[weight], expected, atol=2e-3, rtol=1e-2)


@pytest.mark.parametrize("name", ["gru", "transformer", "vae", "huggingface"])
def test_pretraining_on_a_device_comes_to_the_likelihood_of_the_cpu(
    make_policy: MakePolicy, name: str, fake_device: ModuleType, molecules: list[str]
) -> None:
    def trained(device: str | torch.device) -> float:
        policy = make_policy(name)
        model = policy.model.to(device)
        corpus = Corpus.split(shortest(molecules, 10), policy.vocabulary, 1, 0)
        settings = PretrainSettings(epochs=2, decay_epochs=1, batch_size=9, warmup_steps=1)
        loss = NegativeELBO() if name == "vae" else negative_log_likelihood
        return pretrain(model, corpus, settings, loss=loss)

    expected = trained("cpu")
    with fake_device.FakeDevice() as device:
        assert trained(fake_device.DEVICE) == pytest.approx(expected, rel=1e-4)
        assert device.operations > 100


def test_vectors_on_the_cpu_learn_through_a_policy_on_a_device(
    make_policy: MakePolicy, fake_device: ModuleType, molecules: list[str]
) -> None:
    def gradient(device: str | torch.device) -> torch.Tensor:
        policy = make_policy("vae")
        policy.model.to(device)
        sampler = LatentSampler("given", lambda: policy, LatentState(LatentTable.of(torch.eye(3))))
        drawn = sampler.draw(9, 0)
        rewards = np.linspace(0, 1, 9)
        rows = Rows(**{**drawn.rows.columns(), "rewards": rewards})
        VectorTrainer(sampler).loss(rows).backward()
        grad = sampler.vectors.grad
        assert grad is not None and grad.device.type == "cpu" and grad.any()
        return grad

    expected = gradient("cpu")
    with fake_device.FakeDevice():
        torch.testing.assert_close(gradient(fake_device.DEVICE), expected)
