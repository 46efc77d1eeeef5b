"""What the tables of samplers have in common: what draws, how a model draws, how much, and when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from molbuffer.flows.settings.base import Count, Section, Share, Text


class DrawKeys(Section):
    """What everything that draws molecules has, a sampler of the campaign or one inside another."""

    @property
    def policies(self) -> tuple[str, ...]:
        """The policies that it draws from, by the names they have in a configuration."""
        return ()

    @property
    def inner(self) -> DrawKeys | None:
        """What draws inside of it."""
        return None

    @property
    def in_chunks(self) -> bool:
        """Whether what it draws for a build of the buffer can be shared out among tasks."""
        return True


class SamplingKeys(DrawKeys):
    """How a model draws."""

    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Divides the logits; below 1 draws likelier molecules, above 1 more diverse ones."""

    top_k: Count | None = None
    """Draw each token from the k likeliest only; default: from all."""

    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    """Draw each token from the smallest set of tokens with this probability, in (0, 1]; default: from all."""


class PolicyKeys(SamplingKeys):
    """Who draws."""

    policy: Text = "agent"
    """Who draws: "agent" (the policy in training), "prior", a bundled policy, a folder, or a sha256 in the store."""

    @property
    def policies(self) -> tuple[str, ...]:
        return (self.policy,)


class SizeKeys(Section):
    """How much a sampler of the campaign draws, and when."""

    name: Text
    """The sampler's name in the history and in the metrics; no two samplers share one."""

    buffer_size: Annotated[int, Field(ge=0)] = 0
    """Kept molecules that each build of the buffer adds; 0 = the sampler takes no part in builds."""

    p_batch: Share = 0.0
    """Share of each training batch drawn live, in [0, 1]; 0 = none. The shares of all samplers add up to at most 1;
    what they leave comes from the buffer."""

    build_buffer: bool = True
    """false: the sampler takes no part in builds, whatever its buffer_size."""

    sample_batch: bool = True
    """false: the sampler draws nothing live, whatever its p_batch; the buffer gives its share."""

    from_iteration: Annotated[int, Field(ge=0)] = 0
    """The first iteration in which it draws."""

    until_iteration: Count | None = None
    """The first iteration in which it draws no more; default: it never stops."""


class PriorDraws(PolicyKeys):
    """Draws latent vectors from a prior, and molecules of them from a model that decodes these."""

    kind: Literal["prior"]
    """Latent vectors of a prior, decoded."""

    prior: Literal["normal", "spherical"] | None = None
    """normal: independent normal distributions, or a mixture of such; spherical: a von Mises-Fisher distribution of
    unit vectors. Default: that of the latent space of the policy."""

    components: Count = 1
    """Of a normal prior: how many distributions are mixed."""

    learnt_prior: Text | None = None
    """A prior that an earlier run has learnt, by its sha256 in the store; default: the one that says nothing yet."""


ORIGINS = ("molecules", "vectors", "best", "learnt_latents")
"""The keys that say where latent vectors come from; a latent sampler has one of them."""
ORIGIN_KEYS: Mapping[str, str] = {"column": "molecules", "stored_latents": "best"}
"""The origin that each of these keys belongs to."""


class LatentDraws(PolicyKeys):
    """Draws molecules from a model that decodes given latent vectors, each as often as the others."""

    kind: Literal["latent"]
    """Given latent vectors, decoded."""

    molecules: Text | None = None
    """A .smi, .txt, .csv (each also .gz) or .parquet file whose molecules the policy encodes; relative to the folder of
    the configuration file."""

    column: Text | None = None
    """Of molecules: their column in a table; default: one called smiles."""

    vectors: Text | None = None
    """A .npy, .csv or .parquet file of vectors, a row each; relative to the folder of the configuration file."""

    best: Count | None = None
    """How many of the best stored molecules with a reward under this objective, as of the start of the run."""

    stored_latents: bool = False
    """Of best: take the latent vectors that the best rows were decoded from, instead of encoding the molecules; only of
    rows that the policy drew, or one that was trained from the same VAE."""

    learnt_latents: Text | None = None
    """The vectors that an earlier run has learnt, by their sha256 in the store."""


class LearningKeys(Section):
    """How the latents of a sampler learn. They learn from what the sampler draws in the present iteration."""

    optimise: bool = False
    """Learn where the rewards are, by the score-function gradient."""

    learning_rate: Annotated[float, Field(gt=0)] = 0.02
    """Of Adam."""

    gradient_norm: Annotated[float, Field(gt=0)] = 1.0
    """The largest norm of a step's gradient; longer gradients are scaled down to it."""

    baseline: Literal["mean", "leave_one_out", "none"] = "mean"
    """What is subtracted from a reward: the mean of all rows, the mean of the others, or nothing."""


class PriorLearningKeys(LearningKeys):
    """How a prior learns."""

    replay_ratio_clip: Annotated[float, Field(gt=0)] | None = None
    """Learn also from stored rows of the batch that the sampler drew earlier in the run, each weighted by how much
    likelier its latent vector has become since, p_now(z) / p_then(z), and by this at most; default: stored rows are for
    the decoder only."""


class PriorSamplerSettings(SizeKeys, PriorLearningKeys, PriorDraws):
    """Draws latent vectors from a prior, and molecules of them from a model that decodes these."""


class LatentSamplerSettings(SizeKeys, LearningKeys, LatentDraws):
    """Draws molecules from a model that decodes given latent vectors, each as often as the others."""
