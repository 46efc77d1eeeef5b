"""Every kind of sampler, alone and inside each that holds another, makes builds in both events, empty ones too."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from samplers.base import Sampler
from samplers.build import Slot, make_build
from samplers.contrastive import ContrastiveSampler
from samplers.dataset import DatasetSampler
from samplers.graph_ga import GraphGASampler
from samplers.history import HistorySampler, RunHistory
from samplers.judging import Pipeline
from samplers.latent import LatentSampler
from samplers.latent_priors import NormalPrior
from samplers.latent_state import LatentState, LatentTable
from samplers.model import ModelSampler
from samplers.models.gru import GRUArchitecture, GRULanguageModel
from samplers.models.protocol import GenerativeModel
from samplers.models.seq2seq import Seq2SeqArchitecture, Seq2SeqModel
from samplers.models.vae import VAE, VAEArchitecture
from samplers.mutation import MutationSampler
from samplers.pair_dataset import PairDatasetSampler
from samplers.policies import Policy, fingerprint
from samplers.prior import PriorSampler
from samplers.scores import Scorer
from samplers.vocabulary import RESERVED, Vocabulary
from scoring import ContrastiveTemplate, Objective, Standardisation, WeightedComponent, standardise_smiles
from scoring.components import QED
from scoring.filters import PropertyRange
from storage import SampleStore
from storage.records import Build as StoredBuild
from storage.records import Commit, Event, Reward, Run, RunKind, Samples

CHAINS = Vocabulary((*RESERVED, "C", "N", "O"))
OBJECTIVE = Objective((WeightedComponent(QED()),))
NOTHING = PropertyRange("molecular_weight", minimum=100_000, name="heavy")
Wrap = Callable[[Sampler], Sampler]


def policy(model: GenerativeModel) -> Callable[[], Policy]:
    made = Policy(model, CHAINS, fingerprint(model, CHAINS))
    return lambda: made


@pytest.fixture
def wrappers(store: SampleStore) -> Mapping[str, Wrap]:
    """The kinds that hold another sampler, by what makes one around another."""
    torch.manual_seed(0)
    pairs = policy(Seq2SeqModel(Seq2SeqArchitecture(len(CHAINS), 16, 1, 1, 2, max_length=6)).eval())
    empty = RunHistory(store, "run", OBJECTIVE.sha256, CHAINS, lambda: 0)
    return {
        "contrastive": lambda base: ContrastiveSampler("pairs", base, pairs, repeats=2),
        "mutation": lambda base: MutationSampler("mutants", base, lambda: CHAINS),
        "graph_ga": lambda base: GraphGASampler("children", empty, base, lambda: CHAINS, parents=6),
    }


@pytest.fixture
def samplers(store: SampleStore, tmp_path: Path, wrappers: Mapping[str, Wrap]) -> Mapping[str, Sampler]:
    """One sampler of each kind, and one of a history without rows."""
    (tmp_path / "one.smi").write_text("CCO\n")
    (tmp_path / "pairs.csv").write_text("source,target\nCCO,CCN\nCCC,no!\n?,CC\n")
    store.start_run(Run("run", "test", RunKind.TRAIN, "{}", 1, objective_sha256=OBJECTIVE.sha256))
    tokens, lengths = CHAINS.encode_many(["CCN", "CCO"])
    stored = Samples(["CCN", "CCO"], ["CCN", "CCO"], [None] * 2, tokens, lengths, tokens * np.float32(0), CHAINS.sha256)
    rewards = [Reward(row, OBJECTIVE.sha256, 0.5) for row in range(2)]
    store.commit(Commit([StoredBuild("run", 0, Event.BUILD_BUFFER, "earlier", "model", stored, rewards=rewards)]))
    history, empty = (RunHistory(store, "run", OBJECTIVE.sha256, CHAINS, lambda at=at: at) for at in (1, 0))
    torch.manual_seed(0)
    gru = policy(GRULanguageModel(GRUArchitecture(len(CHAINS), 8, 16, layers=1, max_length=6)).eval())
    vae = policy(VAE(VAEArchitecture(len(CHAINS), 3, "normal", 20.0, 8, 8, 16, max_length=6)).eval())
    dataset = DatasetSampler("file", tmp_path / "one.smi", lambda: CHAINS)
    return {
        "model": ModelSampler("model", gru),
        "prior": PriorSampler("prior", vae, LatentState(NormalPrior(3))),
        "latent": LatentSampler("latent", vae, LatentState(LatentTable.of(torch.ones(1, 3)))),
        "dataset": dataset,
        "pair_dataset": PairDatasetSampler("table", tmp_path / "pairs.csv", lambda: CHAINS),
        "history": HistorySampler("again", history, CHAINS),
        "no-history": HistorySampler("never", empty, CHAINS),
    } | {name: wrap(dataset) for name, wrap in wrappers.items()}


def check_builds(sampler: Sampler) -> None:
    """Its rows belong together, quotas count what is kept, and nothing fails where nothing is."""
    for event in Event:
        for wanted, filters in ((0, ()), (1, ()), (3, ()), (2, (NOTHING,))):
            pipeline = Pipeline(
                Standardisation(), filters, Scorer(OBJECTIVE), CHAINS.can_encode, lambda _: set(), ContrastiveTemplate()
            )
            build = make_build(sampler, Slot("run", 1, event, 0, wanted, campaign_seed=2), pipeline)
            samples, figures = build.samples, {metric.name: metric.value for metric in build.metrics}
            kept = len(build.references) or int(sum(samples.kept))
            assert (figures["kept"], figures["shortfall"]) == (kept, wanted - kept), sampler
            assert not filters or not sum(samples.kept), sampler
            for raw, smiles, row, length in zip(
                samples.raw, samples.smiles, samples.tokens, samples.lengths, strict=True
            ):
                assert smiles == standardise_smiles(raw)
                assert length == 0 or CHAINS.decode(row[None], np.array([length])) == [raw]
            assert {reward.row for reward in build.rewards} == set(np.flatnonzero(samples.kept).tolist())


def test_each_kind_alone(samplers: Mapping[str, Sampler]) -> None:
    for sampler in samplers.values():
        check_builds(sampler)


@pytest.mark.parametrize("outer", ["contrastive", "mutation", "graph_ga"])
def test_each_kind_inside_another(samplers: Mapping[str, Sampler], wrappers: Mapping[str, Wrap], outer: str) -> None:
    for sampler in samplers.values():
        check_builds(wrappers[outer](sampler))


def test_all_draw_by_one_signature(samplers: Mapping[str, Sampler]) -> None:
    assert len({str(inspect.signature(sampler.draw)) for sampler in samplers.values()}) == 1
