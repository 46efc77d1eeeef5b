"""The ``[[samplers]]`` tables: who draws molecules, and how much of the buffer and of each batch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from flows.settings_base import Count, Section, Share, Text


class SamplerKeys(Section):
    """What every sampler has."""

    name: Text
    """The sampler's name in the history and in the metrics; no two samplers share one."""

    buffer_size: Annotated[int, Field(ge=0)] = 0
    """Kept molecules that each build of the buffer adds; 0 = the sampler takes no part in builds."""

    p_batch: Share = 0.0
    """Share of each training batch drawn live, in [0, 1]; 0 = none. The shares of all samplers add up to at most 1;
    what they leave comes from the buffer."""


class ModelSamplerSettings(SamplerKeys):
    """Draws from a generative model."""

    kind: Literal["model"]
    """A generative model."""

    policy: Text = "agent"
    """Who draws: "agent" (the policy in training), "prior", a bundled policy, a folder, or a sha256 in the store."""

    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Divides the logits; below 1 draws likelier molecules, above 1 more diverse ones."""

    top_k: Count | None = None
    """Draw each token from the k likeliest only; default: from all."""

    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    """Draw each token from the smallest set of tokens with this probability, in (0, 1]; default: from all."""


class DatasetSamplerSettings(SamplerKeys):
    """Draws from a file of molecules."""

    kind: Literal["dataset"]
    """A file of molecules."""

    path: Text
    """A .smi, .txt, .csv (each also .gz) or .parquet file; relative to the folder of the configuration file."""

    column: Text | None = None
    """The column of the molecules in a table; default: one called smiles."""

    replacement: bool = False
    """Draw each molecule independently; otherwise one draw has no row twice."""


SamplerSettings = Annotated[ModelSamplerSettings | DatasetSamplerSettings, Field(discriminator="kind")]
"""Every kind of sampler."""
