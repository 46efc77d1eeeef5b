"""Models draw on a device, and everything else stays on the CPU. No GPU is needed: see ``fake_device.py``."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from molbuffer.samplers.contrastive import ContrastiveSampler
from molbuffer.samplers.dataset import DatasetSampler
from molbuffer.samplers.devices import TYPES, available_devices, find_device
from molbuffer.samplers.errors import DeviceError
from molbuffer.samplers.latent import LatentSampler
from molbuffer.samplers.latents.initial import new_prior
from molbuffer.samplers.latents.source import LatentState, LatentTable
from molbuffer.samplers.latents.vectors import encode_molecules
from molbuffer.samplers.model import ModelSampler
from molbuffer.samplers.models.distribution import Sampling
from molbuffer.samplers.models.registry import MODELS
from molbuffer.samplers.policies.policy import Policy, fingerprint, load_policy, policy_files
from molbuffer.samplers.prior import PriorSampler
from molbuffer.samplers.tokens.vocabulary import Vocabulary

SIZES = {
    "gru": {"embedding_size": 8, "hidden_size": 16},
    "lstm": {"embedding_size": 8, "hidden_size": 16},
    "transformer": {"hidden_size": 16, "layers": 2, "heads": 2},
    "seq2seq": {"hidden_size": 16, "encoder_layers": 1, "decoder_layers": 1, "heads": 2},
    "vae": {"latent_size": 3, "embedding_size": 8, "encoder_size": 8, "hidden_size": 16},
    "vae of transformers": {
        "latent_size": 3, "architecture": "transformer", "encoder_size": 8, "hidden_size": 8, "heads": 2,
        "geometry": "spherical",
    },
}  # fmt: skip
EVERY = (*SIZES, "huggingface")


@pytest.fixture(scope="module")
def folders(
    vocabulary: Vocabulary, huggingface: ModuleType, molecules: list[str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """The folder of a small policy of each kind."""
    root = tmp_path_factory.mktemp("policies")
    found = {"huggingface": huggingface.save_model(root / "huggingface", "gpt2", huggingface.tokenizer_of(molecules))}
    for name, sizes in SIZES.items():
        torch.manual_seed(0)
        model = MODELS[name.split()[0]].make({"vocabulary_size": len(vocabulary), "max_length": 24, **sizes})
        found[name] = root / name
        found[name].mkdir()
        for file, content in policy_files(model, vocabulary).items():
            (found[name] / file).write_bytes(content)
    return found


def sampler_of(policy: Policy, file: Path) -> ModelSampler | ContrastiveSampler | PriorSampler:
    """A sampler that draws from a policy of any kind."""
    sampling = Sampling(0.9, top_k=12, top_p=0.95)
    if policy.kind == "seq2seq":
        sources = DatasetSampler("sources", file, policy.vocabulary)
        return ContrastiveSampler("pairs", sources, lambda: policy, sampling=sampling)
    if policy.kind == "vae":
        latents = LatentState(new_prior("prior", policy))
        return PriorSampler("prior", lambda: policy, latents, sampling=sampling)
    return ModelSampler("model", lambda: policy, sampling=sampling)


@pytest.mark.parametrize("name", EVERY)
def test_a_device_draws_the_rows_of_the_cpu(
    folders: dict[str, Path], name: str, fake_device: ModuleType, molecules: list[str], tmp_path: Path
) -> None:
    (tmp_path / "sources.smi").write_text("\n".join(molecules))
    expected = sampler_of(load_policy(folders[name]), tmp_path / "sources.smi").draw(12, 3)
    with fake_device.FakeDevice() as device:
        policy = load_policy(folders[name], fake_device.DEVICE)
        assert policy.model.device == fake_device.DEVICE
        assert all(weight.device == fake_device.DEVICE for weight in policy.model.parameters())
        found = sampler_of(policy, tmp_path / "sources.smi").draw(12, 3)
        assert device.operations > 100
        assert policy.sha256 == fingerprint(policy.model, policy.vocabulary) == load_policy(folders[name]).sha256
    assert list(found.raw) == list(expected.raw)
    for column, values in expected.rows.columns().items():
        np.testing.assert_allclose(found.rows.columns()[column], values, atol=1e-5, err_msg=column)


def test_molecules_are_encoded_and_given_vectors_decoded_on_a_device(
    folders: dict[str, Path], fake_device: ModuleType, molecules: list[str]
) -> None:
    def draw(policy: Policy) -> tuple[torch.Tensor, list[str]]:
        vectors = encode_molecules(policy, molecules, "given")
        sampler = LatentSampler("given", lambda: policy, LatentState(LatentTable.of(vectors)))
        return vectors, list(sampler.draw(9, 1).raw)

    expected = draw(load_policy(folders["vae"]))
    with fake_device.FakeDevice():
        vectors, raw = draw(load_policy(folders["vae"], fake_device.DEVICE))
    assert vectors.device.type == "cpu"
    # The CPU has products of its own, which round otherwise.
    torch.testing.assert_close(vectors, expected[0], rtol=1e-5, atol=1e-6)
    assert raw == expected[1]


def test_the_fake_device_refuses_tensors_of_the_cpu(fake_device: ModuleType) -> None:
    here = torch.ones(3)
    with fake_device.FakeDevice():
        there = here.to(fake_device.DEVICE)
        assert torch.equal((there * 2 + torch.tensor(1.0)).cpu(), torch.full((3,), 3.0))
        with pytest.raises(fake_device.CrossingError, match=r"device \[3\], cpu \[3\]"):
            there + here
        with pytest.raises(fake_device.CrossingError, match="two devices"):
            there[torch.tensor([0, 1])]
        with pytest.raises(fake_device.CrossingError, match="generator of the CPU"):
            torch.rand(3, generator=torch.Generator(), device=fake_device.DEVICE)


def test_auto_is_the_fastest_device_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def there(*, cuda: int, mps: bool) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    there(cuda=0, mps=False)
    assert available_devices() == ["cpu"] and str(find_device("auto")) == "cpu"
    with pytest.raises(DeviceError, match="no device 'cuda' that torch can use, only cpu"):
        find_device("cuda")
    there(cuda=0, mps=True)
    assert str(find_device("auto")) == str(find_device("mps")) == "mps"
    there(cuda=2, mps=False)
    assert str(find_device("auto")) == "cuda" and str(find_device("cuda:1")) == "cuda:1"
    with pytest.raises(DeviceError, match="no device 'cuda:2': this machine has 2, from cuda:0 on"):
        find_device("cuda:2")


@pytest.mark.parametrize("name", ["gpu", "", "cpu:0", "mps:0", "cuda:", "cuda:x", "CUDA", "meta"])
def test_names_of_no_device_are_refused(name: str) -> None:
    with pytest.raises(DeviceError, match=", ".join(("auto", *TYPES))):
        find_device(name)
