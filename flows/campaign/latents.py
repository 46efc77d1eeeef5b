"""From the settings of samplers of latent vectors to the latents they begin with, and to the trainers of these."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from torch import Tensor

from molbuffer.flows.settings import DrawKeys, LatentDraws, LearningKeys, PriorDraws, PriorLearningKeys
from molbuffer.samplers import (
    DecodedLatents,
    LatentSampler,
    LatentState,
    Policy,
    PriorSampler,
    Sampler,
    best_latents,
    best_molecules,
    encode_molecules,
    latent_files,
    latent_model,
    latent_relatives,
    latent_space,
    learnt_prior,
    learnt_vectors,
    new_prior,
    read_smiles_file,
    read_vectors,
    table_for,
)
from molbuffer.storage import Commit, HistoryIndex, IndexScope, PolicyVersion, SampleStore
from molbuffer.training import BASELINES, LatentTrainerSettings, PriorTrainer, Trainable, Trainables, VectorTrainer


class RunOfStore(Protocol):
    """A run and the store that keeps it."""

    @property
    def store(self) -> SampleStore: ...

    @property
    def run_id(self) -> str: ...


def first_prior(name: str, settings: PriorDraws, policy: Policy, store: SampleStore) -> LatentState:
    """Return the latent prior that a sampler begins with.

    Raises:
        LatentsError: the policy has no latent vectors, or those of another space.
    """
    if settings.learnt_prior is not None:
        return LatentState(learnt_prior(name, policy, settings.learnt_prior, store))
    return LatentState(new_prior(name, policy, settings.prior, settings.components))


def first_vectors(name: str, settings: LatentDraws, policy: Policy, run: RunOfStore) -> LatentState:
    """Return the latent vectors that a sampler begins with.

    Raises:
        LatentsError: there are none, or the policy cannot decode them.
    """
    return LatentState(table_for(name, policy, _vectors(name, settings, policy, run)))


def _vectors(name: str, settings: LatentDraws, policy: Policy, run: RunOfStore) -> Tensor:
    """Read, load or encode the vectors [m, d] that the settings name."""
    size = latent_model(policy, name).latent_size
    if settings.learnt_latents is not None:
        return learnt_vectors(name, settings.learnt_latents, run.store)
    if settings.vectors is not None:
        return read_vectors(Path(settings.vectors))
    if settings.molecules is not None:
        rows = read_smiles_file(Path(settings.molecules), settings.column)
        return encode_molecules(policy, [row.smiles for row in rows], name)
    assert settings.best is not None
    index = _rewarded_rows(run)
    if not settings.stored_latents:
        return encode_molecules(policy, best_molecules(index, settings.best, name), name)
    relatives = latent_relatives(run.store, policy.sha256, index.snapshot)
    return best_latents(index, settings.best, size, relatives, name)


def build_trainables(settings: Sequence[DrawKeys], samplers: Sequence[Sampler]) -> Trainables:
    """Return the trainers of the latents that are to learn, in the order of their samplers."""
    found: list[Trainable] = []
    for table, sampler in zip(settings, samplers, strict=True):
        clip = table.replay_ratio_clip if isinstance(table, PriorLearningKeys) else None
        if not isinstance(table, LearningKeys) or not table.optimise:
            continue
        steps = LatentTrainerSettings(table.learning_rate, table.gradient_norm, BASELINES[table.baseline])
        if isinstance(sampler, PriorSampler):
            found.append(PriorTrainer(sampler, steps, replay_ratio_clip=clip))
        elif isinstance(sampler, LatentSampler):
            spherical = latent_space(sampler.policy()) == "spherical"
            found.append(VectorTrainer(sampler, steps, spherical=spherical))
    return Trainables(found)


def latent_versions(samplers: Sequence[Sampler]) -> dict[str, str]:
    """Return the sha256 of the present latents of each sampler that decodes latent vectors, by the sampler's name."""
    return {each.name: each.latent_sha256 for each in samplers if each.latent_sha256 is not None}


def publish_latents(samplers: Sequence[Sampler], store: SampleStore, run_id: str) -> dict[str, str]:
    """Keep the latents of each sampler in the store, so that any process can draw from them; return their sha256."""
    versions = []
    for sampler in samplers:
        if isinstance(sampler, DecodedLatents):
            source = sampler.latents.source
            sha256 = store.policies.add(latent_files(source))
            versions.append(PolicyVersion(sha256, source.kind, run_id=run_id, iteration=0, weights_kept=True))
    if versions:
        store.commit(Commit(policies=versions, message=f"latents of run {run_id}"))
    return latent_versions(samplers)


def _rewarded_rows(run: RunOfStore) -> HistoryIndex:
    """Return the rewarded rows of the history as of the start of the run, so that a resumed run finds the same."""
    started = run.store.run(run.run_id)
    assert started.objective_sha256 is not None
    scope = IndexScope(objective_sha256=started.objective_sha256, snapshot=started.pinned_snapshot)
    return run.store.index(scope)
