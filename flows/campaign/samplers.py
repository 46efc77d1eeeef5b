"""From the settings of samplers to the samplers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from molbuffer.flows.campaign.latents import first_prior, first_vectors
from molbuffer.flows.settings import (
    INNER_SAMPLER,
    ContrastiveDraws,
    DatasetDraws,
    DrawKeys,
    GraphGADraws,
    HistoryDraws,
    LatentDraws,
    ModelDraws,
    ModelSamplerSettings,
    MutationDraws,
    PairDatasetDraws,
    PriorDraws,
    SamplerSettings,
    SamplingKeys,
    SizeKeys,
)
from molbuffer.samplers import (
    ByScaffold,
    ContrastiveSampler,
    DatasetSampler,
    GraphGASampler,
    HistorySampler,
    LatentSampler,
    LatentState,
    ModelSampler,
    MutationSampler,
    PairDatasetSampler,
    Policy,
    PriorSampler,
    RunHistory,
    Sampler,
    SamplerSize,
    open_policy,
    stored_latents,
)
from molbuffer.samplers.models import Sampling
from molbuffer.scoring import Breeding, Standardisation
from molbuffer.storage import AboveQuantile, RecentOfEachRun, SampleStore, Selection, TopK, Uniform, check_predicate


@dataclass(frozen=True)
class SamplerParts:
    """The parts that the samplers of a campaign share.

    Attributes:
        store: the open store.
        run_id: the run that the samplers draw for.
        prior: the policy that training started from.
        prior_name: its name in the configuration.
        agent: returns the policy in training, at the time of a draw.
        settled: returns the iteration before which all that the run drew is committed.
        standardisation: how the campaign standardises molecules.
        objective_sha256: the objective by whose rewards stored rows are drawn; None is that of the run.
        latents: the sha256 of the latents of samplers, by the samplers' names; a sampler without an entry begins
            anew.
    """

    store: SampleStore
    run_id: str
    prior: Policy
    prior_name: str
    agent: Callable[[], Policy]
    settled: Callable[[], int]
    standardisation: Standardisation = Standardisation()
    objective_sha256: str | None = None
    latents: Mapping[str, str] = field(default_factory=dict)

    def policy(self, name: str) -> Callable[[], Policy]:
        """Return a function that returns the policy of a name at the time of a draw."""
        if name == "agent":
            return self.agent
        policy = self.prior if name in ("prior", self.prior_name) else open_policy(name, self.store)
        return lambda: policy


def build_sampler(settings: SamplerSettings, parts: SamplerParts) -> Sampler:
    """Return the sampler that a table describes."""
    return _build(settings.name, settings, parts, sampler_size(settings))


def _build(name: str, settings: DrawKeys, parts: SamplerParts, size: SamplerSize) -> Sampler:
    # The settings of a sampler of the campaign are of a subclass of those of a sampler inside another.
    build = next(_BUILDERS[each] for each in type(settings).__mro__ if each in _BUILDERS)
    return build(name, settings, parts, size)


def sampler_size(settings: SizeKeys) -> SamplerSize:
    """Return how much a sampler draws, and when."""
    return SamplerSize(
        settings.buffer_size if settings.build_buffer else 0,
        settings.p_batch if settings.sample_batch else 0.0,
        settings.from_iteration,
        settings.until_iteration,
    )


def _model(name: str, settings: ModelDraws, parts: SamplerParts, size: SamplerSize) -> Sampler:
    unique = isinstance(settings, ModelSamplerSettings) and settings.unique
    return ModelSampler(name, parts.policy(settings.policy), size=size, sampling=_sampling(settings), unique=unique)


def _prior(name: str, settings: PriorDraws, parts: SamplerParts, size: SamplerSize) -> Sampler:
    policy = parts.policy(settings.policy)
    if name in parts.latents:
        latents = LatentState(stored_latents(parts.latents[name], parts.store))
    else:
        latents = first_prior(name, settings, policy(), parts.store)
    return PriorSampler(name, policy, latents, size=size, sampling=_sampling(settings))


def _latent(name: str, settings: LatentDraws, parts: SamplerParts, size: SamplerSize) -> Sampler:
    policy = parts.policy(settings.policy)
    if name in parts.latents:
        latents = LatentState(stored_latents(parts.latents[name], parts.store))
    else:
        # The prior encodes for the policy in training, so that a resumed run finds the same vectors.
        encoder = parts.prior if settings.policy == "agent" else policy()
        latents = first_vectors(name, settings, encoder, parts)
    return LatentSampler(name, policy, latents, size=size, sampling=_sampling(settings))


def _dataset(name: str, settings: DatasetDraws, parts: SamplerParts, size: SamplerSize) -> Sampler:
    vocabulary = parts.prior.vocabulary
    return DatasetSampler(
        name,
        Path(settings.path),
        vocabulary,
        size=size,
        column=settings.column,
        replacement=settings.replacement,
        standardisation=parts.standardisation,
        largest_fragment=settings.largest_fragment,
    )


def _pair_dataset(name: str, settings: PairDatasetDraws, parts: SamplerParts, size: SamplerSize) -> Sampler:
    vocabulary = parts.prior.vocabulary
    return PairDatasetSampler(
        name,
        Path(settings.path),
        vocabulary,
        size=size,
        source_column=settings.source_column,
        target_column=settings.target_column,
        replacement=settings.replacement,
        standardisation=parts.standardisation,
        largest_fragment=settings.largest_fragment,
    )


def _history(name: str, settings: HistoryDraws, parts: SamplerParts, size: SamplerSize) -> Sampler:
    history = _run_history(parts, settings.runs, settings.where)
    return HistorySampler(name, history, parts.prior.vocabulary, selection=_selection(settings), size=size)


def _run_history(parts: SamplerParts, runs: Sequence[str], where: str | None = None) -> RunHistory:
    """Return the stored rows of runs: "own", "all", or ids."""
    run = parts.store.run(parts.run_id)
    objective_sha256 = parts.objective_sha256 or run.objective_sha256
    assert objective_sha256 is not None
    named = tuple(run.run_id if name == "own" else parts.store.run(name).run_id for name in runs if name != "all")
    return RunHistory(
        parts.store,
        run.run_id,
        objective_sha256=objective_sha256,
        vocabulary=parts.prior.vocabulary,
        settled=parts.settled,
        foreign_snapshot=run.pinned_snapshot,
        runs=None if "all" in runs else named,
        where=None if where is None else check_predicate(where),
    )


def _selection(settings: HistoryDraws) -> Selection:
    """Return the selection of stored rows; a key that is absent has the selection's own default."""
    match settings.select:
        case "uniform":
            return Uniform()
        case "top_k":
            return TopK() if settings.top_k is None else TopK(settings.top_k)
        case "quantile":
            return AboveQuantile() if settings.quantile is None else AboveQuantile(settings.quantile)
        case "recent":
            return RecentOfEachRun() if settings.max_iterations is None else RecentOfEachRun(settings.max_iterations)
        case "scaffold":
            return ByScaffold()


def _contrastive(name: str, settings: ContrastiveDraws, parts: SamplerParts, size: SamplerSize) -> Sampler:
    return ContrastiveSampler(
        name,
        _base(name, settings.base_sampler, parts),
        parts.policy(settings.output_model),
        size=size,
        repeats=settings.repeats,
        sampling=_sampling(settings),
        standardisation=parts.standardisation,
    )


def _mutation(name: str, settings: MutationDraws, parts: SamplerParts, size: SamplerSize) -> Sampler:
    base, vocabulary = _base(name, settings.base_sampler, parts), parts.prior.vocabulary
    return MutationSampler(
        name, base, vocabulary, size=size, mutations=settings.mutations, valid_only=settings.valid_only
    )


def _graph_ga(name: str, settings: GraphGADraws, parts: SamplerParts, size: SamplerSize) -> Sampler:
    vocabulary = parts.prior.vocabulary
    breeding = Breeding(
        crossover_rate=settings.crossover_rate, mutation_rate=settings.mutation_rate, most_atoms=settings.most_atoms
    )
    history = _run_history(replace(parts, objective_sha256=None), settings.runs)
    base = _base(name, settings.base_sampler, parts)
    return GraphGASampler(name, history, base, vocabulary, size=size, parents=settings.parents, breeding=breeding)


def _base(name: str, settings: DrawKeys, parts: SamplerParts) -> Sampler:
    """Return the sampler inside another; its rows count by their own rewards, not by those of pairs."""
    # The given latents belong to samplers of the campaign, one of which may have the name that is made here.
    of_inner = replace(parts, objective_sha256=None, latents={})
    return _build(f"{name}.{INNER_SAMPLER}", settings, of_inner, SamplerSize())


def _sampling(settings: SamplingKeys) -> Sampling:
    return Sampling(settings.temperature, settings.top_k or 0, settings.top_p or 1.0)


_BUILDERS: Mapping[type[DrawKeys], Callable[[str, Any, SamplerParts, SamplerSize], Sampler]] = {
    ModelDraws: _model,
    PriorDraws: _prior,
    LatentDraws: _latent,
    DatasetDraws: _dataset,
    PairDatasetDraws: _pair_dataset,
    HistoryDraws: _history,
    ContrastiveDraws: _contrastive,
    MutationDraws: _mutation,
    GraphGADraws: _graph_ga,
}
"""The function that makes a sampler of each kind, of (name, settings, parts, size)."""
