"""A Hugging Face model is the prior of a campaign: trained online, stopped and resumed, offline, and drawn from by a
task of another process after its folder is gone.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from molbuffer.flows.campaign.campaign import Campaign, campaign_run
from molbuffer.flows.campaign.training import Training, prepare_offline, prepare_online
from molbuffer.flows.settings.settings import load_settings
from molbuffer.flows.tasks.build_request import build_requests
from molbuffer.flows.tasks.chunks import chunk_builder, made_here
from molbuffer.samplers.models.distribution import Sampling
from molbuffer.samplers.policies.policy import load_policy
from molbuffer.scoring import standardise_many
from molbuffer.storage import RunKind, SampleStore
from molbuffer.training.fit.loop import FitProgress, fit_policy
from molbuffer.training.pretraining.corpus import Corpus
from molbuffer.training.pretraining.pretrain import pretrain
from molbuffer.training.pretraining.settings import PretrainSettings

CAMPAIGN = """
[campaign]
iterations = 3
batch_size = 8
seed = 1

[policy]
prior = "{prior}"

[objective]
components = [{{ kind = "qed" }}]

[buffer]
build_every = 2
runs = "{runs}"

[[samplers]]
kind = "model"
name = "live"
buffer_size = 8
p_batch = 0.5
temperature = 0.9
top_k = 40

[training]
sigma = 20

[offline]
steps = 1
"""
BUILD = """
import json, sys
from pathlib import Path
from molbuffer.flows.campaign.campaign import reopen_campaign
from molbuffer.flows.tasks.build_request import BuildRequest
from molbuffer.flows.tasks.chunks import build_chunk
from molbuffer.storage import SampleStore

request = BuildRequest(**json.loads(sys.argv[1]))
with SampleStore.open(Path(request.store)) as store:
    print(build_chunk(reopen_campaign(store, request.run_id), request).kept)
"""
ROWS = "SELECT iteration, event, row, raw, kept, reward, policy_sha256 FROM sample_history ORDER BY ALL"


class StoppedError(Exception):
    """What stops a training in these tests."""


@pytest.fixture(scope="module")
def model(huggingface: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small GPT-2 that has learnt real molecules for seconds, as its own library saves it."""
    lines = Path(__file__).parents[2].joinpath("data", "molecules.smi").read_text().splitlines()
    molecules = [text for text in standardise_many([line.split()[0] for line in lines]) if text is not None]
    folder = huggingface.save_model(
        tmp_path_factory.mktemp("models") / "gpt2", "gpt2", huggingface.tokenizer_of(molecules), std=0.05
    )
    policy = load_policy(folder)
    corpus = Corpus.split(molecules, policy.vocabulary, 1, 0)
    settings = PretrainSettings(
        epochs=60, decay_epochs=10, batch_size=20, learning_rate=5e-3, warmup_steps=10, patience=100
    )
    pretrain(policy.model, corpus, settings)
    policy.model.network.save_pretrained(folder)
    return folder


@contextmanager
def running(
    folder: Path, store: Path, monkeypatch: pytest.MonkeyPatch, kind: RunKind = RunKind.TRAIN, prior: str | None = None
) -> Iterator[tuple[Campaign, Training]]:
    """A campaign whose build tasks are done in this process, from what the requests say."""
    file = store.parent / "campaign.toml"
    runs = "all" if kind is RunKind.OFFLINE else "own"
    file.write_text(CAMPAIGN.format(prior=prior or folder, runs=runs))
    with (
        SampleStore.open(store) as opened,
        campaign_run(load_settings(file), opened, kind, f"{kind}-{prior or 'own'}") as campaign,
    ):
        if kind is RunKind.OFFLINE:
            yield campaign, prepare_offline(campaign)
            return
        training = prepare_online(campaign)
        training.loader.build_buffer = chunk_builder(campaign, training, campaign.failures(), made_here(campaign))
        yield campaign, training


def run(training: Training, progress: Callable[[FitProgress], None] = lambda _: None) -> str:
    with training.writer:
        fit_policy(training.learner, training.loader, training.writer, checkpoint_every=1, progress=progress)
    return training.learner.policy().sha256


def stop(report: FitProgress) -> None:
    if report.iteration == 2:
        raise StoppedError


def test_a_hugging_face_model_is_trained_resumed_and_drawn_from_like_ours(
    model: Path, empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(model, tmp_path / "gpt2"))
    for name in ("whole", "lab"):
        shutil.copytree(empty_store, tmp_path / name)
    with running(folder, tmp_path / "whole", monkeypatch) as (campaign, training):
        expected, prior = run(training), campaign.prior
        whole = campaign.store.query(ROWS).rows()
    assert prior.kind == "huggingface" and expected != prior.sha256

    with pytest.raises(StoppedError), running(folder, tmp_path / "lab", monkeypatch) as (_, training):
        run(training, stop)
    with running(folder, tmp_path / "lab", monkeypatch) as (campaign, training):
        assert training.loader.iteration >= 1
        assert run(training) == expected
        store = campaign.store
        assert store.query(ROWS).rows() == whole
        assert not store.verify().errors
        assert json.loads(store.run(campaign.run_id).config)["policy"]["prior"] == prior.sha256
        kept = store.query("SELECT avg(kept::int) AS share FROM sample_history")["share"][0]
        assert kept > 0.2, "it has learnt to write molecules"
        _check_stored_rows(store, prior.sha256)
        (request,) = build_requests(campaign, 4, expected)

    # What a task of another process, or of another host, needs is in the store.
    shutil.rmtree(folder)
    done = subprocess.run(
        [sys.executable, "-c", BUILD, json.dumps(asdict(request))], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 3

    for prior_name in (expected, "zinc-gru"):
        with running(folder, tmp_path / "lab", monkeypatch, RunKind.OFFLINE, prior_name) as (campaign, training):
            assert len(training.loader.buffer.index) > 8, "the rows of one vocabulary serve policies of another"
            assert run(training) != campaign.prior.sha256
            assert not campaign.store.verify().errors


def _check_stored_rows(store: SampleStore, sha256: str) -> None:
    """The stored rows of a policy have its tokens, and the log-probabilities that they were drawn with."""
    policy = load_policy(store.policies.folder(sha256))
    receipt = next(each for each in store.receipts("train-own") if each.event == "build_buffer" and not each.iteration)
    build = store.build(receipt.build_id).build
    rows = build.samples.rows
    assert build.policy_sha256 == sha256 and rows.vocabulary_sha256 == policy.vocabulary.sha256
    assert policy.vocabulary.decode(rows.tokens, rows.lengths) == list(build.samples.raw)
    given = (torch.from_numpy(np.asarray(each, np.int64)) for each in (rows.tokens, rows.lengths))
    with torch.no_grad():
        again = policy.model.log_probs(*given, sampling=Sampling(0.9, top_k=40))
    np.testing.assert_allclose(again.numpy(), rows.log_probs, atol=1e-3)
