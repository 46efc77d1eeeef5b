import sys

import pytest
from rdkit import Chem

from molbuffer.scoring import ScoringConfigurationError, property_names, property_value
from molbuffer.scoring.molecules.sa_score import sa_score

ASPIRIN = Chem.MolFromSmiles("CC(=O)Oc1ccccc1C(=O)O")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("molecular_weight", 180.159),
        ("exact_mass", 180.0423),
        ("heavy_atoms", 13),
        ("hydrogen_bond_donors", 1),
        ("hydrogen_bond_acceptors", 3),
        ("rings", 1),
        ("aromatic_rings", 1),
        ("aliphatic_rings", 0),
        ("largest_ring", 6),
        ("heteroatoms", 4),
        ("fraction_sp3", 1 / 9),
        ("tpsa", 63.6),
        ("logp", 1.3101),
        ("qed", 0.550),
        ("sa_score", 1.580),
        ("formal_charge", 0),
        ("NumHBA", 3),
    ],
)
def test_properties_of_aspirin(name: str, expected: float) -> None:
    assert property_value(name, ASPIRIN) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "smiles", "expected"),
    [
        ("formal_charge", "C[NH3+]", 1),
        ("largest_ring", "CCO", 0),
        ("largest_ring", "C1CC1CC1CCCCCCC1", 8),
        ("stereo_centres", "C[C@H](N)C(=O)O", 1),
        ("spiro_atoms", "C1CC12CC2", 1),
        ("bridgehead_atoms", "C1CC2CCC1C2", 2),
    ],
)
def test_properties_of_others(name: str, smiles: str, expected: float) -> None:
    assert property_value(name, Chem.MolFromSmiles(smiles)) == expected


def test_every_name_has_a_value_and_the_names_are_sorted() -> None:
    assert list(property_names()) == sorted(set(property_names()))
    assert all(isinstance(property_value(name, ASPIRIN), float) for name in property_names())


def test_an_unknown_name_is_told_the_nearest_and_all_names() -> None:
    with pytest.raises(ScoringConfigurationError, match=r"did you mean 'molecular_weight'.*tpsa"):
        property_value("molecular_wieght", ASPIRIN)


def test_the_sa_score_tells_easy_from_hard_and_leaves_the_import_path_alone() -> None:
    morphine = Chem.MolFromSmiles("CN1CC[C@]23c4c5ccc(O)c4O[C@H]2[C@@H](O)C=C[C@H]3[C@H]1C5")
    assert 1 <= sa_score(Chem.MolFromSmiles("CCO")) < 2.5 < 4 < sa_score(morphine) <= 10
    assert not any("SA_Score" in str(folder) for folder in sys.path)
    assert "sascorer" not in sys.modules
