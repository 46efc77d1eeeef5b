"""A molecule has the similarity 1 with itself, whatever its size and the fingerprint."""

import pytest

from molbuffer.scoring import Fingerprint, ScoringConfigurationError, SimilarityBounds, similar_pairs
from molbuffer.scoring.components import Similarity
from molbuffer.scoring.identity import sha256_of

PARACETAMOL = "CC(=O)Nc1ccc(O)cc1"


def value(component: Similarity, smiles: str) -> float | None:
    return component.values([smiles])[0].value


ATOM_PAIRS = [
    ("C", "C", 1),
    ("C", "N", 0),
    ("C", "CC", 0),
    ("CC", "C", 0),
    ("[Na+].[Cl-]", "[Cl-].[Na+]", 1),
    ("CC", "CC", 1),
]


@pytest.mark.parametrize(("target", "smiles", "expected"), ATOM_PAIRS)
def test_a_molecule_without_pairs_of_atoms_equals_itself(target: str, smiles: str, expected: float) -> None:
    assert value(Similarity(target, "atom_pair"), smiles) == expected
    bounds = SimilarityBounds(0.5, fingerprint=Fingerprint.ATOM_PAIR)
    assert len(similar_pairs([target, smiles], bounds)) == 2 * expected


@pytest.mark.parametrize("kind", list(Fingerprint))
@pytest.mark.parametrize("smiles", ["C", "[Na+].[Cl-]", "[2H][2H]", "CCO", PARACETAMOL, "*"])
def test_every_molecule_equals_itself(kind: Fingerprint, smiles: str) -> None:
    assert value(Similarity(smiles, kind), smiles) == 1


def test_r5_scores_by_atom_pairs_that_were_right_are_kept() -> None:
    """The version is the hash of what the value depends on: those of targets with pairs are in stores."""
    version = {"kind": "similarity", "target": "CCO", "fingerprint": "atom_pair"}
    assert Similarity("CCO", "atom_pair").version == sha256_of(version)
    assert Similarity("C", "atom_pair").version != sha256_of(version | {"target": "C"})


def test_too_long_a_target_is_refused() -> None:
    with pytest.raises(ScoringConfigurationError, match="3,000"):
        Similarity("C" * 3_000)
