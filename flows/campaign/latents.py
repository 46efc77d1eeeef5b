"""The latents of a campaign's samplers: their trainers, and their versions in the store."""

from __future__ import annotations

from collections.abc import Sequence

from molbuffer.samplers import (
    LatentSampler,
    LearningKeys,
    PriorSampler,
    PriorSamplerTable,
    Sampler,
    SamplerTable,
    latent_space,
)
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
