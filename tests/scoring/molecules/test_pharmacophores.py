"""Pharmacophores are those of RDKit's own, slower code."""

import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem.Pharm2D import Generate, Gobbi_Pharm2D

from molbuffer.scoring.molecules import common_share, pharmacophores

MOLECULES = [
    "C",
    "[Na+].[Cl-]",
    "CC(=O)[O-].C[NH3+]",
    "Nc1ccc(C(N)=O)cc1",
    "CC(=O)Nc1ccc(O)cc1",
    "OC(=O)CCC(=O)O",
    "Cc1ccc(-c2cc(C(F)(F)F)nn2-c2ccc(S(N)(=O)=O)cc2)cc1",
    "CCCOc1cc2ncnc(Nc3ccc4ncsc4c3)c2cc1S(=O)(=O)C(C)(C)C",
    "C[Si](C)(C)CCCCNCCCCC(C)(C)C",
    "CN1CCC23c4c5ccc(O)c4OC2C(O)C=CC3C1C5",
]


def as_rdkit(smiles: str) -> DataStructs.SparseBitVect:
    return Generate.Gen2DFingerprint(Chem.MolFromSmiles(smiles), Gobbi_Pharm2D.factory)


@pytest.mark.parametrize("smiles", MOLECULES)
def test_they_are_as_many_and_as_similar_as_those_of_rdkit(smiles: str) -> None:
    own, reference = pharmacophores(Chem.MolFromSmiles(smiles)), as_rdkit(smiles)
    assert len(own) == reference.GetNumOnBits()
    for other in MOLECULES[3:8]:
        similarity = common_share(own, pharmacophores(Chem.MolFromSmiles(other)))
        assert similarity == pytest.approx(DataStructs.TanimotoSimilarity(reference, as_rdkit(other)), abs=1e-12)


def test_two_molecules_without_any_have_nothing_in_common() -> None:
    nothing = pharmacophores(Chem.MolFromSmiles("C"))
    assert len(nothing) == 0
    assert common_share(nothing, nothing) == 0.0


def test_the_order_of_the_atoms_makes_no_difference() -> None:
    molecule = Chem.MolFromSmiles(MOLECULES[7])
    reversed_order = Chem.RenumberAtoms(molecule, list(reversed(range(molecule.GetNumAtoms()))))
    assert pharmacophores(molecule).tolist() == pharmacophores(reversed_order).tolist()


def test_a_large_molecule_is_looked_at_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    molecule = Chem.MolFromSmiles(MOLECULES[6])
    whole = pharmacophores(molecule).tolist()
    monkeypatch.setattr("molbuffer.scoring.molecules.queries.pharmacophore_sets.MOST_TRIANGLES", 500)
    assert pharmacophores(molecule).tolist() == whole
