"""What a campaign relies on in every kind of sampler, alone and inside another: one signature, one record of rows, and
builds of no row at all."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

import molbuffer.samplers as room
from molbuffer.samplers.base import Sampler
from molbuffer.samplers.builds.build import make_build
from molbuffer.samplers.builds.build_spec import BuildSpec
from molbuffer.samplers.builds.judging import Pipeline
from molbuffer.samplers.contrastive import ContrastiveSampler
from molbuffer.samplers.dataset import DatasetSampler
from molbuffer.samplers.errors import SamplerError
from molbuffer.samplers.graph_ga import GraphGASampler
from molbuffer.samplers.history import HistorySampler, RunHistory
from molbuffer.samplers.latent import LatentSampler
from molbuffer.samplers.latents.priors import NormalPrior
from molbuffer.samplers.latents.source import LatentState, LatentTable
from molbuffer.samplers.model import ModelSampler
from molbuffer.samplers.models.autoencoders.vae_gru import VAE, VAEArchitecture
from molbuffer.samplers.models.condition import Condition
from molbuffer.samplers.models.distribution import Sampling
from molbuffer.samplers.models.gru import GRUArchitecture, GRULanguageModel
from molbuffer.samplers.models.protocol import GenerativeModel
from molbuffer.samplers.models.seq2seq import Seq2SeqArchitecture, Seq2SeqModel
from molbuffer.samplers.mutation import MutationSampler
from molbuffer.samplers.pair_dataset import PairDatasetSampler
from molbuffer.samplers.policies.policy import Policy, fingerprint
from molbuffer.samplers.prior import PriorSampler
from molbuffer.samplers.scores.scorer import Scorer
from molbuffer.samplers.tokens.vocabulary import RESERVED, Vocabulary
from molbuffer.scoring import ContrastiveTemplate, Objective, Standardisation, WeightedComponent, standardise_smiles
from molbuffer.scoring.components import QED
from molbuffer.scoring.filters import PropertyRange
from molbuffer.storage import SampleStore
from molbuffer.storage.records import Commit, Event, Run, RunKind

CHAINS = Vocabulary((*RESERVED, "C", "N", "O"))
OBJECTIVE = Objective((WeightedComponent(QED()),))
PIPELINE = Pipeline(
    Standardisation(),
    (),
    Scorer(OBJECTIVE),
    expressible=CHAINS.can_encode,
    seen=lambda _: set(),
    template=ContrastiveTemplate(),
)
REFUSING = replace(PIPELINE, filters=(PropertyRange("molecular_weight", minimum=100_000, name="heavy"),))
TEMPERED = Sampling(temperature=1.3)
SAMPLERS = {
    kind.__name__: kind
    for module in pkgutil.iter_modules(room.__path__)
    for kind in vars(importlib.import_module(f"molbuffer.samplers.{module.name}")).values()
    if inspect.isclass(kind) and kind.__module__ == f"molbuffer.samplers.{module.name}"
    if issubclass(kind, Sampler) and not inspect.isabstract(kind)
}


def policy(model: GenerativeModel) -> Policy:
    model.eval()
    return Policy(model, CHAINS, fingerprint(model, CHAINS))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[Sampler, Policy | None]]]:
    """One sampler of each kind that there is, and the policy that it draws from."""
    folder = tmp_path_factory.mktemp("every")
    with pytest.MonkeyPatch.context() as patched, SampleStore.create(folder / "store") as store:
        patched.setenv("MOLBUFFER_CACHE", str(folder / "cache"))
        yield make_all(folder, store)


def make_all(folder: Path, store: SampleStore) -> dict[str, tuple[Sampler, Policy | None]]:
    torch.manual_seed(0)
    gru = policy(GRULanguageModel(GRUArchitecture(len(CHAINS), embedding_size=8, hidden_size=16, max_length=6)))
    vae = policy(
        VAE(
            VAEArchitecture(
                len(CHAINS),
                latent_size=3,
                geometry="normal",
                concentration=1.0,
                embedding_size=8,
                encoder_size=8,
                hidden_size=16,
                max_length=6,
            )
        )
    )
    seq2seq = policy(
        Seq2SeqModel(
            Seq2SeqArchitecture(len(CHAINS), hidden_size=16, encoder_layers=1, decoder_layers=1, heads=2, max_length=6)
        )
    )
    (folder / "chains.smi").write_text("CCN\nCCO\nCNC\nNCCO\n")
    (folder / "pairs.csv").write_text("source,target\nCCN,CCO\nCNC,CCO\nCCO,CC\n")
    dataset = DatasetSampler("dataset", folder / "chains.smi", CHAINS)
    store.start_run(Run("earlier", "test", RunKind.BUILD, "{}", 1, objective_sha256=OBJECTIVE.sha256))
    store.commit(Commit([make_build(dataset, spec(4, Event.BUILD_BUFFER, "earlier"), PIPELINE)]))
    history = RunHistory(store, "run", objective_sha256=OBJECTIVE.sha256, vocabulary=CHAINS, settled=lambda: 0)
    table = LatentTable.of(torch.randn(3, 3))
    return {
        "ModelSampler": (ModelSampler("model", lambda: gru, sampling=TEMPERED), gru),
        "PriorSampler": (PriorSampler("prior", lambda: vae, LatentState(NormalPrior(3)), sampling=TEMPERED), vae),
        "LatentSampler": (LatentSampler("latent", lambda: vae, LatentState(table), sampling=TEMPERED), vae),
        "DatasetSampler": (dataset, None),
        "HistorySampler": (HistorySampler("history", history, CHAINS), None),
        "ContrastiveSampler": (ContrastiveSampler("pairs", dataset, lambda: seq2seq, sampling=TEMPERED), seq2seq),
        "PairDatasetSampler": (PairDatasetSampler("file", folder / "pairs.csv", CHAINS), None),
        "MutationSampler": (MutationSampler("mutants", dataset, CHAINS), None),
        "GraphGASampler": (GraphGASampler("children", history, dataset, CHAINS), None),
    }


def tensor(column: Any) -> torch.Tensor | None:
    if column is None:
        return None
    return torch.from_numpy(column if column.dtype == np.float32 else column.astype(np.int64))


def spec(wanted: int, event: Event, run_id: str = "run") -> BuildSpec:
    return BuildSpec(run_id, 0, event, sampler_order=0, wanted=wanted, campaign_seed=1)


def test_no_kind_is_left_out(made: dict[str, Any]) -> None:
    assert set(made) == set(SAMPLERS)
    assert len({sampler.kind for sampler, _ in made.values()}) == len(made)


@pytest.mark.parametrize("kind", SAMPLERS.values())
def test_what_holds_another_sampler_is_called_as_that_is(kind: type) -> None:
    assert inspect.signature(kind.draw) == inspect.signature(Sampler.draw)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("n", [0, 1, 3])
def test_columns_have_a_row_for_each_that_was_drawn(made: dict[str, Any], name: str, n: int) -> None:
    sampler, drawn_from = made[name]
    drawn = sampler.draw(n, seed=5)
    # Children of few parents may be fewer than were asked for.
    assert len(drawn) == n or (0 < len(drawn) < n and name == "GraphGASampler")
    columns = (*drawn.rows.columns().values(), drawn.source_smiles, drawn.source_rows)
    assert {len(column) for column in columns if column is not None} == {len(drawn)}
    assert CHAINS.decode(drawn.rows.tokens, drawn.rows.lengths) == list(drawn.raw)
    again = sampler.draw(n, seed=5)
    assert again.raw == drawn.raw
    if not n or drawn_from is None:
        return
    given = (drawn.rows.latents, drawn.rows.source_tokens, drawn.rows.source_lengths)
    condition = Condition(*map(tensor, given))
    tokens, lengths = tensor(drawn.rows.tokens), tensor(drawn.rows.lengths)
    expected = drawn_from.model.log_probs(tokens, lengths, condition=condition, sampling=TEMPERED).detach().numpy()
    assert_allclose(drawn.rows.log_probs, expected, atol=1e-4)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("wanted", [0, 2])
def test_every_kind_makes_builds_of_both_events_and_of_no_rows(
    made: dict[str, Any], name: str, event: Event, wanted: int
) -> None:
    sampler, _ = made[name]
    if name == "HistorySampler" and event is Event.BUILD_BUFFER:
        with pytest.raises(SamplerError, match="which the buffer has already"):
            make_build(sampler, spec(wanted, event), PIPELINE)
        return
    build = make_build(sampler, spec(wanted, event), PIPELINE)
    metrics = {metric.name: metric.value for metric in build.metrics}
    kept = len(build.references) or int(build.samples.kept.sum())
    assert metrics["kept"] == kept and metrics["shortfall"] == wanted - kept
    assert kept == wanted
    assert (build.sampler, build.sampler_kind, build.event) == (sampler.name, sampler.kind, event)
    # A pair has two rewards, one of which is its target's own.
    assert {reward.row for reward in build.rewards} == set(np.flatnonzero(build.samples.kept).tolist())


@pytest.mark.parametrize("name", SAMPLERS)
def test_nothing_that_every_kind_draws_may_be_kept(made: dict[str, Any], name: str) -> None:
    build = make_build(made[name][0], spec(2, Event.SAMPLE_BATCH), REFUSING)
    metrics = {metric.name: metric.value for metric in build.metrics}
    if name == "HistorySampler":
        assert metrics["kept"] == 2, "what is stored was judged when it was drawn"
        return
    assert (metrics["kept"], metrics["shortfall"], metrics["rewards"]) == (0, 2, None)
    assert not build.samples.kept.any() and build.rewards == []


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("outer", ["ContrastiveSampler", "MutationSampler", "GraphGASampler"])
def test_every_kind_may_be_inside_another(made: dict[str, Any], outer: str, name: str) -> None:
    sampler = replace(made[outer][0], base_sampler=made[name][0])
    for wanted, pipeline in ((0, PIPELINE), (3, PIPELINE), (2, REFUSING)):
        build = make_build(sampler, spec(wanted, Event.BUILD_BUFFER), pipeline)
        metrics = {metric.name: metric.value for metric in build.metrics}
        samples = build.samples
        assert metrics["shortfall"] == wanted - int(samples.kept.sum())
        assert pipeline is PIPELINE or not samples.kept.any()
        for raw, smiles, row, length in zip(
            samples.raw, samples.smiles, samples.rows.tokens, samples.rows.lengths, strict=True
        ):
            assert smiles == standardise_smiles(raw)
            assert length == 0 or CHAINS.decode(row[None], np.array([length])) == [raw]
