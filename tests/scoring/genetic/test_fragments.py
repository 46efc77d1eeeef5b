"""Cuts of SMILES strings: all single bonds outside of rings, and two sides that join to the molecule again."""

from pathlib import Path

import pytest
from rdkit import Chem

from molbuffer.scoring.genetic.fragments import cuttable, join
from molbuffer.scoring.molecules.parsing import canonical_smiles, parse_smiles

FILE = Path(__file__).parents[2] / "data/molecules.smi"
MOLECULES = [line.split()[0] for line in FILE.read_text().splitlines()][:60]
CENTRES = [
    "C[C@H](N)C(=O)O",
    "C[C@@](F)(Cl)Br",
    "N[C@@H]1CCC[C@H](O)C1C",
    "C[N+](C)(C)C[C@]12CCC(CC1)C2",
    "O[C@@H]1[C@H](C)O[C@@](O)(C)[C@@H](N)[C@H]1F",
    "[13CH3]c1ccc(-c2ccncc2)cc1",
    "*CC*",
    "C[Fe]C",
    "[2H]CC",
]


def spellings(smiles: str) -> set[str]:
    molecule = Chem.MolFromSmiles(smiles)
    return {smiles, *(Chem.MolToRandomSmilesVect(molecule, 8, randomSeed=3))}


@pytest.mark.parametrize("smiles", CENTRES)
def test_both_sides_of_a_cut_are_the_molecule_again(smiles: str) -> None:
    """Each spelling has the neighbours of a stereocentre in another order."""
    expected = canonical_smiles(parse_smiles(smiles))
    for text in spellings(smiles):
        found = cuttable(text)
        assert found is not None
        assert found.cuts
        for number in range(len(found.cuts)):
            far, near = found.fragment(number, far=True), found.fragment(number, far=False)
            assert far.atoms + near.atoms == found.atoms
            for joined in (join(far, near), join(near, far)):
                assert canonical_smiles(parse_smiles(joined)) == expected


def test_cuts_are_the_single_bonds_outside_of_rings() -> None:
    for text in MOLECULES:
        molecule = parse_smiles(text)
        bonds = sum(bond.GetBondType() is Chem.BondType.SINGLE and not bond.IsInRing() for bond in molecule.GetBonds())
        found = cuttable(text)
        assert found is not None
        assert found.atoms == molecule.GetNumHeavyAtoms()
        centres = {atom.GetSymbol() for atom in molecule.GetAtoms() if atom.GetChiralTag()}
        assert len(found.cuts) == bonds or centres - {"C"}


def test_there_are_no_cuts_at_other_stereocentres() -> None:
    found = cuttable("CC[S@+]([O-])c1ccccc1")
    assert found is not None
    assert len(found.cuts) == 1


def test_a_double_bond_beside_a_cut_has_its_configuration_by_another_neighbour_or_not_at_all() -> None:
    for text in ("F/C=C/CC", "F/C(Cl)=C(/Br)CC"):
        found, same = cuttable(text), canonical_smiles(parse_smiles(text))
        assert found is not None
        flat = canonical_smiles(parse_smiles(text.replace("/", "")))
        rejoined = {
            canonical_smiles(parse_smiles(join(found.fragment(n, far=True), found.fragment(n, far=False))))
            for n in range(len(found.cuts))
        }
        assert rejoined == {same, flat}


@pytest.mark.parametrize(
    "text", ["", "C.C", "CC(", "C)C", "(C)C)", "C1CC", "no molecule", "C%99CC%99", "C->[Fe]", "1CC1"]
)
def test_what_is_not_one_smiles_has_no_cuts(text: str) -> None:
    assert cuttable(text) is None


def test_a_hydrogen_is_no_heavy_atom() -> None:
    found = cuttable("[2H]C([H])[Hg]C")
    assert found is not None
    assert found.atoms == 3
