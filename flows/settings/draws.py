"""The keys that tables of samplers share: the policy, its sampling, the sizes, the schedule, and the training of
latents.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from molbuffer.flows.settings.base import Count, Section, Share, Text


class DrawKeys(Section):
    """The keys of any sampler, of the campaign or inside another."""

    @property
    def policies(self) -> tuple[str, ...]:
        """The policies that it draws from, by their names in the configuration."""
        return ()

    @property
    def inner(self) -> DrawKeys | None:
        """The sampler inside it, if any."""
        return None

    @property
    def in_chunks(self) -> bool:
        """Whether its rows of a build can be divided among tasks."""
        return True


class SamplingKeys(DrawKeys):
    """The sampling of a model."""

    temperature: Annotated[float, Field(gt=0)] = 1.0
    """The divisor of the logits; below 1 draws likelier molecules, above 1 more diverse ones."""

    top_k: Count | None = None
    """Draw each token from the k likeliest tokens only; default: from all."""

    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    """Draw each token from the smallest set of tokens with this probability, in (0, 1]; default: from all."""


class PolicyKeys(SamplingKeys):
    """The policy of a sampler."""

    policy: Text = "agent"
    """The policy: "agent" (the policy in training), "prior", a bundled policy, a folder, or a sha256 in the store."""

    @property
    def policies(self) -> tuple[str, ...]:
        return (self.policy,)


class SizeKeys(Section):
    """The sizes and the schedule of a sampler of the campaign."""

    name: Text
    """The sampler's name in the history and in the metrics; unique in the campaign."""

    buffer_size: Annotated[int, Field(ge=0)] = 0
    """Kept molecules that each build of the buffer adds; 0 = the sampler takes no part in builds."""

    p_batch: Share = 0.0
    """The share of each training batch that is drawn live, in [0, 1]. The shares of all samplers add up to at most
    1; the rest of the batch comes from the buffer."""

    build_buffer: bool = True
    """false: the sampler takes no part in builds, whatever its buffer_size."""

    sample_batch: bool = True
    """false: the sampler draws nothing live, whatever its p_batch; its share comes from the buffer."""

    from_iteration: Annotated[int, Field(ge=0)] = 0
    """The first iteration in which it draws."""

    until_iteration: Count | None = None
    """The first iteration in which it no longer draws; default: it never stops."""


class PriorDraws(PolicyKeys):
    """Draws latent vectors from a latent prior, and decodes them to molecules."""

    kind: Literal["prior"]
    """Molecules decoded from draws of a latent prior."""

    prior: Literal["normal", "spherical"] | None = None
    """normal: independent normal distributions, or a mixture of such; spherical: a von Mises-Fisher distribution of
    unit vectors. Default: the kind that fits the latent space of the policy."""

    components: Count = 1
    """For a normal prior: the number of distributions that it mixes."""

    learnt_prior: Text | None = None
    """A latent prior that an earlier run has learnt, by its sha256 in the store; default: an untrained one."""


ORIGINS = ("molecules", "vectors", "best", "learnt_latents")
"""The keys that name the origin of latent vectors; a latent sampler has exactly one of them."""
ORIGIN_KEYS: Mapping[str, str] = {"column": "molecules", "stored_latents": "best"}
"""The origin that each of these keys belongs to."""


class LatentDraws(PolicyKeys):
    """Decodes given latent vectors to molecules, each equally often."""

    kind: Literal["latent"]
    """Molecules decoded from given latent vectors."""

    molecules: Text | None = None
    """A .smi, .txt, .csv, .tsv (each also .gz) or .parquet file whose molecules the policy encodes; relative to the
    folder of the configuration file."""

    column: Text | None = None
    """For molecules: their column in a table, in any case; default: smiles or canonical_smiles."""

    vectors: Text | None = None
    """A .npy, .csv or .parquet file with a vector in each row; relative to the folder of the configuration file."""

    best: Count | None = None
    """Start from this many of the best stored molecules under this objective, as of the start of the run."""

    stored_latents: bool = False
    """For best: use the latent vectors that the best rows were decoded from, instead of encoding the molecules; only
    rows of the policy, or of one trained from the same VAE, have such vectors."""

    learnt_latents: Text | None = None
    """Latent vectors that an earlier run has learnt, by their sha256 in the store."""


class LearningKeys(Section):
    """The training of a sampler's latents, on the rows that the sampler draws in the present iteration."""

    optimise: bool = False
    """Train the latents towards higher rewards, by the REINFORCE gradient."""

    learning_rate: Annotated[float, Field(gt=0)] = 0.02
    """The learning rate of Adam."""

    gradient_norm: Annotated[float, Field(gt=0)] = 1.0
    """The largest norm of a step's gradient; longer gradients are scaled down to it."""

    baseline: Literal["mean", "leave_one_out", "none"] = "mean"
    """What is subtracted from each reward: the mean over all rows, the mean over the other rows, or nothing."""


class PriorLearningKeys(LearningKeys):
    """The training of a latent prior."""

    replay_ratio_clip: Annotated[float, Field(gt=0)] | None = None
    """Train the latent prior also on stored rows of the batch that the sampler drew earlier in the run. Each is
    weighted by p_now(z) / p_then(z), but at most by this number. Default: stored rows train the decoder only."""


class PriorSamplerSettings(SizeKeys, PriorLearningKeys, PriorDraws):
    """Draws latent vectors from a latent prior, and decodes them to molecules."""


class LatentSamplerSettings(SizeKeys, LearningKeys, LatentDraws):
    """Decodes given latent vectors to molecules, each equally often."""
