"""The bundled policies on molecules that none of them was trained on: drugs."""

import pytest
import torch

from molbuffer.samplers.latents.vectors import encode_molecules
from molbuffer.samplers.models.condition import Condition
from molbuffer.samplers.models.distribution import Sampling
from molbuffer.samplers.policies.drawing import draw_rows
from molbuffer.samplers.policies.policy import Policy, find_policy, load_policy
from molbuffer.samplers.seeds import torch_generator
from molbuffer.samplers.tokens.vocabulary import Vocabulary
from molbuffer.scoring import ContrastiveTemplate, Standardisation, judge_pairs, standardise_many

GREEDY = Sampling(top_k=1)
DRUGS = [
    "CC(C)Cc1ccc(cc1)[C@@H](C)C(=O)NC1CCCCC1",
    "Cc1ccc(-c2cc(C(F)(F)F)nn2-c2ccc(S(N)(=O)=O)cc2)cc1",
    "CCN(CC)CC(=O)Nc1c(C)cccc1C",
    "CC(=O)Nc1ccc(O)cc1",
    "COc1ccc2cc([C@H](C)C(=O)N3CCCC3)ccc2c1",
    "CN(C)CCCN1c2ccccc2CCc2ccccc21",
    "Cc1onc(-c2ccccc2)c1-c1ccc(S(N)(=O)=O)cc1",
    "COc1ccccc1OCC(O)CN1CCN(CC(=O)Nc2c(C)cccc2C)CC1",
]


@pytest.fixture(scope="module")
def vae() -> Policy:
    return load_policy(find_policy("zinc-vae"))


@pytest.fixture(scope="module")
def pairs() -> Policy:
    return load_policy(find_policy("zinc-pairs"))


def similarities(sources: list[str], targets: list[str]) -> list[float]:
    """Those of each target with its source, 0 where the target is no molecule."""
    judged = judge_pairs(targets, sources, (), ContrastiveTemplate(), Standardisation(largest_fragment=True))
    return [each.similarity or 0.0 for each in judged]


def encoded(vocabulary: Vocabulary, smiles: list[str]) -> Condition:
    tokens, lengths = vocabulary.encode_many(smiles)
    return Condition(sources=torch.from_numpy(tokens.astype("int64")), source_lengths=torch.from_numpy(lengths).long())


def test_draws_from_the_prior_of_the_vae_are_mostly_different_molecules(vae: Policy) -> None:
    drawn = draw_rows(vae, 200, Sampling(), torch_generator(0, "bundled"))
    molecules = [smiles for smiles in standardise_many(drawn.raw) if smiles is not None]
    assert len(molecules) > 0.5 * 200
    assert len(set(molecules)) > 0.98 * len(molecules)


def test_drugs_come_out_of_their_latent_vectors_much_as_they_went_in(vae: Policy) -> None:
    sources = [smiles for smiles in standardise_many(DRUGS) if smiles is not None]
    with torch.no_grad():
        latents = encode_molecules(vae, sources, "test")
    drawn = draw_rows(vae, len(latents), GREEDY, torch_generator(0), Condition(latents=latents))
    found = similarities(sources, drawn.raw)
    assert sum(found) / len(found) > 0.4
    # The vectors of other molecules do not lead there.
    elsewhere = draw_rows(vae, len(latents), GREEDY, torch_generator(0), Condition(latents=latents.roll(1, 0)))
    assert sum(found) > 2 * sum(similarities(sources, elsewhere.raw))


def test_targets_of_drugs_are_mostly_other_molecules_like_them(pairs: Policy) -> None:
    sources = [smiles for smiles in standardise_many(DRUGS) if smiles is not None] * 10
    drawn = draw_rows(pairs, len(sources), Sampling(), torch_generator(0), encoded(pairs.vocabulary, sources))
    found = similarities(sources, drawn.raw)
    assert sum(0.3 <= similarity < 1 for similarity in found) > len(found) / 2
    assert len(set(drawn.raw)) > len(found) / 2
    # To the source of another target there is hardly any similarity.
    others = similarities(sources[1:] + sources[:1], drawn.raw)
    assert sum(found) > 2 * sum(others)
