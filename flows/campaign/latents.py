"""The latents of a campaign's samplers: their trainers, and their versions in the store."""

from __future__ import annotations

from collections.abc import Sequence

from molbuffer.samplers import (
    DecodedLatents,
    LatentSampler,
    LearningKeys,
    PriorSampler,
    PriorSamplerTable,
    Sampler,
    SamplerTable,
    latent_files,
    latent_space,
)
from molbuffer.storage import Commit, PolicyVersion, SampleStore
from molbuffer.training import BASELINES, LatentTrainerSettings, PriorTrainer, Trainable, Trainables, VectorTrainer


def build_trainables(tables: Sequence[SamplerTable], samplers: Sequence[Sampler]) -> Trainables:
    """Return the trainers of the latents that are to learn, in the order of their samplers."""
    found: list[Trainable] = []
    for table, sampler in zip(tables, samplers, strict=True):
        clip = table.replay_ratio_clip if isinstance(table, PriorSamplerTable) else None
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
