"""The columns of a row stay together, whatever draws beside each other and whichever of them has latents."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from molbuffer.samplers.base import Sampler, SamplerSize
from molbuffer.samplers.dataset import DatasetSampler
from molbuffer.samplers.latents.priors import NormalPrior
from molbuffer.samplers.latents.source import LatentState
from molbuffer.samplers.model import ModelSampler
from molbuffer.samplers.models.autoencoders.vae_gru import VAE, VAEArchitecture
from molbuffer.samplers.models.condition import Condition
from molbuffer.samplers.policies.policy import Policy, fingerprint
from molbuffer.samplers.prior import PriorSampler
from molbuffer.samplers.tokens.vocabulary import Vocabulary
from molbuffer.training.batches.buffer import BUFFER


def carbon_share(smiles: str) -> float:
    return smiles.count("C") / len(smiles)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_rewards_likelihoods_and_latents_are_those_of_the_row_when_latent_and_other_samplers_mix(
    lab: Any, chains: Vocabulary, tmp_path: Path, order: Sequence[int]
) -> None:
    torch.manual_seed(1)
    vae = VAE(
        VAEArchitecture(
            len(chains),
            latent_size=3,
            geometry="normal",
            concentration=40.0,
            embedding_size=8,
            encoder_size=8,
            hidden_size=16,
            max_length=8,
        )
    ).eval()
    with torch.no_grad():
        vae.to_state.weight.mul_(4)
        vae.head.weight.mul_(6)
    path = tmp_path / "chains.smi"
    path.write_text("CCC\nCCON\nCNC\nC\nNN\nCCCCO\n")
    size = SamplerSize(buffer_size=6, p_batch=0.25)

    def samplers(agent: Callable[[], Policy]) -> list[Sampler]:
        made: list[Sampler] = [
            PriorSampler("prior", agent, LatentState(NormalPrior(3)), size=size),
            DatasetSampler("file", path, chains, size=size),
            ModelSampler("agent", agent, size=size),
        ]
        return [made[number] for number in order]

    policy = Policy(vae, chains, fingerprint(vae, chains))
    training = lab.adapted(prior=policy, make_samplers=samplers, batch_size=16, iterations=2).start()
    for mixed in training.loader:
        batch = mixed.batch
        texts = chains.decode(batch.tokens.numpy(), batch.lengths.numpy())
        assert batch.rewards.tolist() == pytest.approx([carbon_share(text) for text in texts])
        assert len(set(batch.rewards.tolist())) > 3, "the rewards should tell rows apart"
        assert {origin: batch.origins.count(origin) for origin in ("prior", "file", "agent", BUFFER)} == dict.fromkeys(
            ("prior", "file", "agent", BUFFER), 4
        )
        latents = batch.condition.latents
        assert latents is not None
        decoded = ~latents.isnan().any(1)
        drawn = ~batch.behaviour_log_probs.isnan().any(1)
        of = np.array(batch.origins)
        assert torch.equal(decoded, drawn)
        assert decoded[of == "prior"].all() and decoded[of == "agent"].all() and not decoded[of == "file"].any()
        expected = vae.log_probs(batch.tokens, batch.lengths, condition=Condition(latents=latents.nan_to_num()))
        assert_close(batch.behaviour_log_probs[drawn], expected[drawn].detach(), atol=1e-4, rtol=0)
