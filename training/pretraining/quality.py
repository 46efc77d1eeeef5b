"""How well a latent model gives back what it was told."""

from __future__ import annotations

import torch

from molbuffer.samplers.latents.vectors import encode_molecules
from molbuffer.samplers.models.condition import Condition
from molbuffer.samplers.models.distribution import Sampling
from molbuffer.samplers.policies.drawing import draw_rows
from molbuffer.samplers.policies.policy import Policy
from molbuffer.samplers.seeds import torch_generator
from molbuffer.scoring import standardise_many
from molbuffer.training.pretraining.corpus import Corpus

GREEDY = Sampling(top_k=1)
"""The likeliest token at each place."""


def reconstruction_accuracy(policy: Policy, corpus: Corpus, most: int) -> float:
    """The share of held-out molecules, of at most ``most``, that come out of their own latent vector.

    A molecule is encoded as the mean of its posterior and decoded greedily; what comes out may be another string, but
    has to be the same molecule.
    """
    smiles = [corpus.smiles[row] for row in corpus.held_out[:most].tolist()]
    with torch.no_grad():
        latents = encode_molecules(policy, smiles, "evaluation")
    drawn = draw_rows(policy, len(latents), GREEDY, torch_generator(0), Condition(latents=latents))
    pairs = zip(standardise_many(drawn.raw), standardise_many(smiles), strict=True)
    return sum(found == wanted for found, wanted in pairs) / len(smiles)
