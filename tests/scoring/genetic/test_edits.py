"""Edits of graphs, and crossover of two molecules."""

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import Descriptors

from molbuffer.scoring.genetic.crossover import cross_fragments, cross_rings
from molbuffer.scoring.genetic.fragments import cuttable
from molbuffer.scoring.genetic.mutations import EDITS, mutate, written
from molbuffer.scoring.genetic.offspring import kekule
from molbuffer.scoring.molecules.parsing import canonical_smiles, parse_smiles

ODD = [
    "C",
    "[Na+]",
    "[H][H]",
    "*CC",
    "[O-][N+](=O)c1ccccc1",
    "C#N",
    "F",
    "C1CC1",
    "c1cc[nH]c1",
    "C" * 60,
    "[Fe]",
    "C[N+](C)(C)C",
]


def changed_by(name: str, smiles: str) -> set[str]:
    """All that an edit makes of a molecule, in many tries."""
    edit = next(each for each in EDITS if each.__name__ == name)
    made = set()
    for seed in range(300):
        molecule = Chem.RWMol(kekule(smiles))
        if edit(molecule, np.random.default_rng(seed)) and (text := written(molecule)):
            found = parse_smiles(text)
            if found is not None and "." not in text and not Descriptors.NumRadicalElectrons(found):
                made.add(canonical_smiles(found))
    return made


@pytest.mark.parametrize(
    ("name", "smiles", "expected"),
    [
        ("append_atom", "C", {"CC", "CN", "CO", "CF", "CS", "CCl", "C=C", "C=N", "C=O", "C=S"}),
        ("insert_atom", "CC", {"CCC", "CNC", "COC", "CSC"}),
        ("delete_atom", "CCO", {"CC", "CO"}),
        ("delete_atom", "C1CC1", set()),
        ("exchange_atom", "CO", {"CC", "CN", "NO", "OO", "OF", "CS", "OS", "CF", "CCl", "OCl"}),
        ("exchange_atom", "C[N+](C)(C)C", {f"C[N+](C)(C){other}" for other in ("N", "O", "F", "S", "Cl")}),
        ("change_order", "CC", {"C=C", "C#C"}),
        ("change_order", "C#N", {"CN", "C=N"}),
        ("change_order", "CF", set()),
        ("close_ring", "CCCCC", {"C1CCCC1"}),
        ("close_ring", "CCCC", set()),
        ("open_ring", "C1CCCC1", {"CCCCC"}),
        ("open_ring", "CCCC", set()),
    ],
)
def test_edits_by_hand(name: str, smiles: str, expected: set[str]) -> None:
    canonical = {canonical_smiles(Chem.MolFromSmiles(each)) for each in expected}
    assert changed_by(name, smiles) == canonical


@pytest.mark.parametrize("smiles", ODD)
def test_odd_molecules_are_changed_or_not_at_all(smiles: str) -> None:
    before = Chem.MolToSmiles(kekule(smiles))
    for seed in range(20):
        rng = np.random.default_rng(seed)
        for made in (mutate(kekule(smiles), rng), cross_rings(kekule(smiles), kekule("C1CC1O"), rng, 80)):
            assert made is None or isinstance(made, str)
    assert Chem.MolToSmiles(kekule(smiles)) == before, "an edit has changed the parent"


def test_a_stereocentre_with_other_neighbours_has_no_configuration() -> None:
    made = {mutate(kekule("C[C@H](F)Cl"), np.random.default_rng(seed)) for seed in range(200)}
    found = {canonical_smiles(parse_smiles(text)) for text in made if text is not None}
    assert {"CCC(F)Cl", "CC(N)(F)Cl"} <= found, "an atom between both is another neighbour, and so is one beside them"
    assert canonical_smiles(parse_smiles("FC[C@H](F)Cl")) in found, "a neighbour that grows is the same one"


def test_a_child_of_two_chains_has_an_end_of_each() -> None:
    one, other = cuttable("FCCN"), cuttable("ClCCO")
    assert one is not None
    assert other is not None
    made = {cross_fragments(one, other, np.random.default_rng(seed), 50) for seed in range(60)}
    found = {canonical_smiles(parse_smiles(text)) for text in made if text is not None}
    # A cut keeps one side of each parent: F…, N…, Cl…, O… of one to three atoms, joined.
    assert len(found) > 10
    assert all(sum(end in smiles for end in ("F", "N")) <= 1 for smiles in found)
    assert all(sum(end in smiles for end in ("Cl", "O")) <= 1 for smiles in found)
    assert canonical_smiles(Chem.MolFromSmiles("FCCCl")) in found


def test_rings_are_cut_and_joined() -> None:
    one, other = kekule("C1CCCCC1"), kekule("O1CCCC1")
    made = [cross_rings(one, other, np.random.default_rng(seed), 50) for seed in range(60)]
    rings = {Descriptors.RingCount(parse_smiles(text)) for text in made if text is not None}
    assert rings == {1}
    assert {"C" in text and "O" in text for text in made if text is not None} == {True, False}
    assert cross_rings(kekule("CCC"), other, np.random.default_rng(0), 50) is None
    assert cross_rings(one, other, np.random.default_rng(0), 1) is None


def test_dummies_of_a_parent_are_no_cuts() -> None:
    made = [cross_rings(kekule("*C1CCCC1"), kekule("C1CCCN1"), np.random.default_rng(seed), 50) for seed in range(40)]
    atoms = [parse_smiles(text).GetNumAtoms() for text in made if text is not None]
    assert atoms
    assert not any(atom.GetIsotope() for text in made if text for atom in parse_smiles(text).GetAtoms())
