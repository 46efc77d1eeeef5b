"""R18, R24: campaigns that draw pairs, put together from their settings and run in this process."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from molbuffer.flows.campaign.assemble import build_objective, build_template
from molbuffer.flows.campaign.campaign import Campaign, campaign_run
from molbuffer.flows.campaign.training import prepare_offline, prepare_online
from molbuffer.flows.settings.settings import Settings, load_settings
from molbuffer.flows.tasks.build_request import build_requests
from molbuffer.flows.tasks.chunks import build_chunk
from molbuffer.lab.training import Training
from molbuffer.samplers.errors import ConditionError
from molbuffer.samplers.models.gru import GRUArchitecture, GRULanguageModel
from molbuffer.samplers.models.seq2seq import Seq2SeqArchitecture, Seq2SeqModel
from molbuffer.samplers.policies.policy import policy_files
from molbuffer.samplers.tokens.vocabulary import RESERVED, Vocabulary
from molbuffer.storage import SampleStore
from molbuffer.storage.records import Commit, RunKind
from molbuffer.training.fit.loop import fit_policy

CHAINS = Vocabulary((*RESERVED, "C", "N", "O"))
SOURCES = ["CCN", "CCO", "CNCC", "COCO", "NCCN", "OCCCN"]
CAMPAIGN = """
[campaign]
name = "pairs"
iterations = 3
batch_size = 8
[policy]
prior = "{prior}"
[[objective.components]]
kind = "qed"
[contrastive]
scaled = true
[[contrastive.source_filters]]
kind = "property"
name = "heavy_atoms"
max = 4
[buffer]
build_every = 2
runs = "own"
[[samplers]]
kind = "contrastive"
name = "of-file"
output_model = "conditional"
buffer_size = 12
p_batch = 0.5
repeats = 2
base_sampler = {{ kind = "dataset", path = "sources.smi", replacement = true }}
[[samplers]]
kind = "contrastive"
name = "of-history"
output_model = "conditional"
buffer_size = 6
p_batch = 0.25
base_sampler = {{ kind = "history", select = {{ kind = "top_k", k = 50 }} }}
from_iteration = 2
[[samplers]]
kind = "contrastive"
name = "of-model"
output_model = "conditional"
p_batch = 0.25
base_sampler = {{ kind = "model", policy = "plain" }}
until_iteration = 2
[training]
checkpoint_every = 1
"""


def made(folder: Path) -> Path:
    """Write the two policies and the sources that the configuration names."""
    torch.manual_seed(0)
    models = {
        "conditional": Seq2SeqModel(
            Seq2SeqArchitecture(len(CHAINS), hidden_size=16, encoder_layers=1, decoder_layers=1, heads=2, max_length=8)
        ),
        "plain": GRULanguageModel(GRUArchitecture(len(CHAINS), embedding_size=8, hidden_size=16, max_length=8)),
    }
    for name, model in models.items():
        (folder / name).mkdir()
        for file, content in policy_files(model, CHAINS).items():
            (folder / name / file).write_bytes(content)
    (folder / "sources.smi").write_text("\n".join(SOURCES))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Those policies and sources."""
    return made(tmp_path)


def settings(folder: Path, prior: str, text: str = CAMPAIGN) -> Settings:
    path = folder / "campaign.toml"
    path.write_text(text.format(prior=prior))
    return load_settings(path)


@contextmanager
def running(folder: Path, prior: str, text: str = CAMPAIGN) -> Iterator[tuple[Campaign, Training]]:
    """A campaign whose builds are made in this process."""
    with (
        SampleStore.open_or_create(folder / "lab") as store,
        campaign_run(settings(folder, prior, text), store, RunKind.TRAIN, f"run-{prior}") as campaign,
    ):
        training = prepare_online(campaign)

        def build(iteration: int) -> list:
            training.writer.drain()
            version = training.learner.publish(store.policies, campaign.run_id, iteration)
            store.commit(Commit(policies=[version]))
            return [build_chunk(campaign, each) for each in build_requests(campaign, iteration, version.sha256)]

        training.loader.build_buffer = build
        yield campaign, training


def run(training: Training) -> None:
    with training.writer:
        fit_policy(training.learner, training.loader, training.writer, checkpoint_every=1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Campaign, Training]]:
    """A conditional policy that has learned from pairs, and its folder."""
    folder = made(tmp_path_factory.mktemp("trained"))
    with running(folder, "conditional") as (campaign, training):
        run(training)
        yield folder, campaign, training


def test_pairs_of_any_base_sampler_are_stored_with_their_sources_and_learned_from(
    trained: tuple[Path, Campaign, Training],
) -> None:
    _, campaign, training = trained
    store = campaign.store
    rows = store.read_arrow(
        """SELECT b.sampler, b.event, b.policy_sha256, s.smiles, s.source_smiles, s.source_build_id, s.source_row,
        s.rejected_by FROM {samples} s JOIN {builds} b USING (build_id) WHERE b.run_id = 'run-conditional'"""
    ).to_pylist()
    stored = {
        (row["build_id"], row["row"]): row["smiles"]
        for row in store.read_arrow('SELECT build_id, "row", smiles FROM {samples}').to_pylist()
    }
    names = {(row["sampler"], row["event"]) for row in rows}
    assert names == {
        ("of-file", "build_buffer"),
        ("of-file", "sample_batch"),
        ("of-history", "build_buffer"),
        ("of-history", "sample_batch"),
        ("of-model", "sample_batch"),
    }
    assert all(row["source_smiles"] for row in rows)
    of_history = [row for row in rows if row["sampler"] == "of-history"]
    for row in of_history:
        assert stored[row["source_build_id"], row["source_row"]] == row["source_smiles"]
    assert all(row["source_build_id"] is None for row in rows if row["sampler"] != "of-history")
    assert {row["source_smiles"] for row in rows if row["sampler"] == "of-file"} <= {
        "CCN", "CCO", "CCNC", "COCO", "NCCN", "NCCCO"
    }  # fmt: skip
    assert any(row["rejected_by"] == "source:heavy_atoms" for row in rows)
    kinds = store.read_arrow("SELECT objective_sha256, count(*) AS n FROM {rewards} GROUP BY 1").to_pylist()
    objective, template = build_objective(campaign.settings), build_template(campaign.settings)
    assert {row["objective_sha256"] for row in kinds} == {objective.sha256, template.objective_sha256(objective)}
    assert len({row["n"] for row in kinds}) == 1
    assert training.loader.buffer.view.objective_sha256 == template.objective_sha256(objective)
    assert training.loader.buffer.index.rewards.min() < 0 < training.loader.buffer.index.rewards.max()
    assert campaign.context.objective_sha256 != store.run(campaign.run_id).objective_sha256


def test_offline_a_conditional_policy_reads_the_rewards_of_pairs(trained: tuple[Path, Campaign, Training]) -> None:
    folder, online, _ = trained
    text = CAMPAIGN.replace('runs = "own"', 'runs = "all"').replace("batch_size = 8", "batch_size = 8\noffline = true")
    # It draws nothing, so that the store stays as it is but for a run.
    configured = settings(folder, "conditional", text)
    with campaign_run(configured, online.store, RunKind.OFFLINE, "offline") as campaign:
        offline = prepare_offline(campaign, None)
        assert offline.loader.buffer.view.objective_sha256 == campaign.context.objective_sha256
        mixed = next(iter(offline.loader))
        assert mixed.batch.condition.source_lengths.min() > 0
        assert offline.learner.step(mixed.batch) > 0


def test_r18_an_unconditional_policy_learns_from_the_targets(folder: Path) -> None:
    with running(folder, "plain") as (campaign, training):
        objective = build_objective(campaign.settings).sha256
        assert campaign.context.objective_sha256 == objective
        assert training.loader.buffer.view.objective_sha256 == objective
        run(training)
        assert training.loader.iteration == 3
        assert training.loader.buffer.index.rewards.min() >= 0


def test_an_output_model_that_takes_no_source_is_refused_before_anything_is_drawn(folder: Path) -> None:
    text = CAMPAIGN.replace('output_model = "conditional"', 'output_model = "agent"')
    refused = pytest.raises(ConditionError, match=r"output_model.*'of-file'.*'gru'")
    with refused, running(folder, "plain", text):
        pass
