"""The device of a run: from the configuration or the command line to every model that draws or learns."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
import torch

import molbuffer.flows.campaign.campaign
import molbuffer.flows.tasks.building
from molbuffer.flows.campaign.campaign import Campaign, campaign_run, reopen_campaign
from molbuffer.flows.campaign.training import Training, prepare_offline, prepare_online
from molbuffer.flows.settings.problems import ConfigurationError
from molbuffer.flows.settings.settings import load_settings
from molbuffer.flows.tasks.build_request import BuildRequest, build_requests
from molbuffer.flows.tasks.chunks import build_chunk, chunk_builder
from molbuffer.samplers.errors import DeviceError
from molbuffer.samplers.models.gru import GRUArchitecture, GRULanguageModel
from molbuffer.samplers.policies.policy import load_policy, policy_files
from molbuffer.samplers.tokens.vocabulary import RESERVED, Vocabulary
from molbuffer.storage import BuildReceipt, RunKind, SampleStore
from molbuffer.training.fit.loop import fit_policy

CHAINS = Vocabulary((*RESERVED, "C", "N", "O"))
CAMPAIGN = """
[campaign]
iterations = 3
batch_size = 8
device = "{device}"

[policy]
prior = "chains"

[objective]
components = [{{ kind = "qed" }}]

[buffer]
build_every = 2

[[samplers]]
kind = "model"
name = "live"
buffer_size = 8
p_batch = 0.25

[[samplers]]
kind = "model"
name = "other"
policy = "others"
p_batch = 0.25

[training]
precision = "float32"

[offline]
steps = 2
"""
ROWS = "SELECT iteration, event, sampler, row, raw, kept FROM sample_history ORDER BY ALL"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed, name in enumerate(("chains", "others")):
        torch.manual_seed(seed)
        model = GRULanguageModel(GRUArchitecture(len(CHAINS), embedding_size=8, hidden_size=16, max_length=12))
        (tmp_path / name).mkdir()
        for file, content in policy_files(model, CHAINS).items():
            (tmp_path / name / file).write_bytes(content)
    return tmp_path


def config(folder: Path, device: str) -> Path:
    path = folder / "campaign.toml"
    path.write_text(CAMPAIGN.format(device=device))
    return path


@contextmanager
def running(
    folder: Path, run_id: str, monkeypatch: pytest.MonkeyPatch, device: str | None = None
) -> Iterator[tuple[Campaign, Training]]:
    """A campaign whose build tasks are done in this process, as another one would do them."""
    with (
        SampleStore.open_or_create(folder / f"lab-{run_id}") as store,
        campaign_run(load_settings(config(folder, "cpu")), store, RunKind.TRAIN, run_id, device=device) as campaign,
    ):

        def make(request: BuildRequest) -> BuildReceipt:
            assert request.device == (device or "cpu")
            return build_chunk(reopen_campaign(store, run_id, request.device), request)

        training = prepare_online(campaign)
        training.loader.build_buffer = chunk_builder(campaign, training, campaign.failures(), make)
        yield campaign, training


def run(training: Training) -> dict[str, torch.Tensor]:
    with training.writer:
        fit_policy(training.learner, training.loader, training.writer, checkpoint_every=2)
    return {name: weight.cpu() for name, weight in training.learner.policy().model.state_dict().items()}


# torch says so of the fake device, whose tensors do take what is copied to them.
@pytest.mark.filterwarnings("ignore:for .*to a meta parameter:UserWarning")
def test_every_model_of_a_run_is_on_its_device(
    folder: Path, fake_device: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(folder, "here", monkeypatch) as (campaign, training):
        expected, rows = run(training), campaign.store.query(ROWS).rows()
        prior = campaign.prior.sha256

    def find(name: str) -> torch.device:
        assert name in ("cpu", "cuda:0")
        return fake_device.DEVICE if name == "cuda:0" else torch.device("cpu")

    monkeypatch.setattr(molbuffer.flows.campaign.campaign, "find_device", find)
    with fake_device.FakeDevice() as device:
        with running(folder, "there", monkeypatch, "cuda:0") as (campaign, training):
            assert campaign.prior.sha256 == prior, "a policy has the hash of its numbers, wherever it is"
            live = training.loader.live
            assert live is not None
            models = [campaign.prior.model, training.learner.policy().model, *(s.policy().model for s in live.samplers)]
            assert {model.device for model in models} == {fake_device.DEVICE}
            found = run(training)
            assert device.operations > 1000
            assert campaign.store.query(ROWS).rows() == rows
            for name, weight in expected.items():
                torch.testing.assert_close(found[name], weight, atol=1e-4, rtol=1e-3)
            published = load_policy(campaign.store.policies.folder(training.learner.policy().sha256))
            assert published.model.device.type == "cpu"
            offline = prepare_offline(campaign)
            assert offline.learner.policy().model.device == fake_device.DEVICE
        # Nothing that a run is known by has changed: it is resumed on another device.
        with running(folder, "there", monkeypatch) as (campaign, training):
            assert training.loader.iteration == 3
            assert {model.device.type for model in (campaign.prior.model, training.learner.policy().model)} == {"cpu"}
            assert [each.device for each in build_requests(campaign, 4, prior)] == ["cpu"]


def test_a_device_that_is_not_there_is_refused_before_anything_starts(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigurationError, match=r"line 5, key `campaign\.device`: this machine has no device 'cuda'"):
        load_settings(config(folder, "cuda"))
    settings = load_settings(config(folder, "cuda"), check_device=False)
    assert settings.campaign.device == "cuda"
    for name in ("gpu", "cuda:x", ""):
        with pytest.raises(ConfigurationError, match=r"`campaign\.device`: got "):
            load_settings(config(folder, name))
    assert load_settings(config(folder, "auto")).campaign.device == "auto"
    with SampleStore.create(folder / "lab") as store:
        with pytest.raises(DeviceError, match="'cuda'"), campaign_run(settings, store, RunKind.TRAIN, "run"):
            pass
        assert not store.query("SELECT * FROM runs").height
        with campaign_run(settings, store, RunKind.TRAIN, "run", device="cpu") as campaign:
            assert campaign.prior.model.device.type == "cpu"
