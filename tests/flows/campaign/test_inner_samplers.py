"""What is inside a sampler is a sampler of its own, whatever others of the campaign are called."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import TypeAdapter

from molbuffer.flows.campaign.samplers import build_sampler
from molbuffer.flows.settings.samplers import SamplerSettings
from molbuffer.kinds import OneOf
from molbuffer.samplers.latent import LatentSampler
from molbuffer.samplers.latents.source import LatentTable, latent_files
from molbuffer.samplers.models.autoencoders.vae_gru import VAE, VAEArchitecture
from molbuffer.samplers.mutation import MutationSampler
from molbuffer.samplers.policies.policy import Policy
from molbuffer.samplers.tables import SAMPLERS, RunParts
from molbuffer.samplers.tokens.vocabulary import RESERVED, Vocabulary
from molbuffer.storage import SampleStore

CHAINS = Vocabulary((*RESERVED, "C", "N", "O"))


SETTINGS = TypeAdapter(Annotated[SamplerSettings, OneOf(SAMPLERS, SamplerSettings)])


def test_an_inner_sampler_has_not_the_latent_vectors_of_one_that_is_called_as_it_is(
    store: SampleStore, tmp_path: Path
) -> None:
    np.save(tmp_path / "vectors.npy", np.eye(3))
    policy = Policy(
        VAE(
            VAEArchitecture(
                len(CHAINS),
                latent_size=3,
                geometry="normal",
                concentration=20.0,
                embedding_size=8,
                encoder_size=8,
                hidden_size=16,
                max_length=8,
            )
        ),
        CHAINS,
        "vae",
    )
    learnt = store.policies.add(latent_files(LatentTable.of(torch.ones(1, 3))))
    parts = RunParts(
        store,
        "run",
        prior=policy,
        prior_name="vae",
        agent=lambda: policy,
        settled=lambda: 0,
        latents={"mutants.base_sampler": learnt},
    )
    latent: dict[str, Any] = {"kind": "latent", "vectors": str(tmp_path / "vectors.npy")}

    def built(table: dict[str, Any]) -> Any:
        return build_sampler(SETTINGS.validate_python(table), parts)

    outer = built({"kind": "mutation", "name": "mutants", "base_sampler": latent})
    assert isinstance(outer, MutationSampler) and isinstance(outer.base_sampler, LatentSampler)
    assert outer.base_sampler.name == "mutants.base_sampler"
    assert outer.base_sampler.vectors.tolist() == np.eye(3).tolist()
    assert built(latent | {"name": "mutants.base_sampler"}).latent_sha256 == learnt
