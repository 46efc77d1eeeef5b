"""Edits, crossover and children of molecules."""

from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem

from molbuffer.scoring import ScoringConfigurationError
from molbuffer.scoring.genetic.crossover import cross_over
from molbuffer.scoring.genetic.mutations import EDITS, mutate, sanitise
from molbuffer.scoring.genetic.offspring import Breeding, children
from molbuffer.scoring.molecules.parsing import canonical_smiles, parse_smiles

FILE = Path(__file__).parents[2] / "data/molecules.smi"
MOLECULES = [line.split()[0] for line in FILE.read_text().splitlines()]
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
        molecule = Chem.RWMol(parse_smiles(smiles))
        Chem.Kekulize(molecule, clearAromaticFlags=True)
        if edit(molecule, np.random.default_rng(seed)) and (found := sanitise(molecule)) is not None:
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
def test_odd_molecules_are_changed_to_molecules_or_not_at_all(smiles: str) -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        for made in (mutate(parse_smiles(smiles), rng), cross_over(parse_smiles(smiles), parse_smiles("CCO"), rng, 80)):
            assert made is None or parse_smiles(canonical_smiles(made)) is not None


def test_a_child_of_two_chains_has_an_end_of_each() -> None:
    found = set()
    for seed in range(60):
        made = cross_over(parse_smiles("FCCN"), parse_smiles("ClCCO"), np.random.default_rng(seed), 50)
        if made is not None:
            found.add(canonical_smiles(made))
    # A cut keeps one side of each parent: F…, N…, Cl…, O… of one to three atoms, joined.
    assert len(found) > 10
    assert all(sum(end in smiles for end in ("F", "N")) <= 1 for smiles in found)
    assert all(sum(end in smiles for end in ("Cl", "O")) <= 1 for smiles in found)
    assert canonical_smiles(Chem.MolFromSmiles("FCCCl")) in found


def test_rings_are_cut_and_joined() -> None:
    sizes = set()
    for seed in range(60):
        made = cross_over(parse_smiles("C1CCCCC1"), parse_smiles("O1CCCC1"), np.random.default_rng(seed), 50)
        if made is not None:
            sizes.add(made.GetRingInfo().NumRings())
    assert 1 in sizes


def test_children_are_new_molecules_and_the_same_for_one_seed() -> None:
    parents, weights = MOLECULES[:50], np.full(50, 0.02)
    one, again = (children(parents, weights, 40, np.random.default_rng(3)) for _ in range(2))
    assert one == again
    assert len(set(one)) == 40
    assert all(parse_smiles(child) is not None for child in one)
    assert not set(one) & {canonical_smiles(parse_smiles(parent)) for parent in parents}
    assert one != children(parents, weights, 40, np.random.default_rng(4))


def test_children_stay_within_the_bound_of_atoms() -> None:
    found = children(MOLECULES[:30], np.full(30, 1 / 30), 30, np.random.default_rng(0), Breeding(most_atoms=15))
    assert found
    assert max(parse_smiles(child).GetNumHeavyAtoms() for child in found) <= 15


def test_parents_without_children_end_the_search() -> None:
    assert children([], np.zeros(0), 5, np.random.default_rng(0)) == []
    assert children(["no molecule", "C.C"], np.full(2, 0.5), 5, np.random.default_rng(0)) == []
    assert children(["[Fe]"], np.ones(1), 5, np.random.default_rng(0), Breeding(most_atoms=1)) == []


@pytest.mark.parametrize("wrong", [{"crossover_rate": 1.1}, {"mutation_rate": -0.1}, {"most_atoms": 0}])
def test_settings_that_breed_nothing_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ScoringConfigurationError, match=next(iter(wrong))):
        Breeding(**wrong)


def test_children_are_no_radicals_and_have_no_odd_rings() -> None:
    parents = ["C[NH2+]CC(=O)[O-]", "C1CCCCCCC1", "C1=CC=CC1", "O=C1CCCC1", *MOLECULES[:40]]
    found = children(parents, np.full(44, 1 / 44), 300, np.random.default_rng(1))
    assert len(found) == 300
    for molecule in map(parse_smiles, found):
        assert not any(atom.GetNumRadicalElectrons() for atom in molecule.GetAtoms())
        assert max(map(len, molecule.GetRingInfo().AtomRings()), default=0) <= 8
        assert not molecule.HasSubstructMatch(Chem.MolFromSmarts("[R]=[R]=[R]"))


def test_a_parent_of_thousands_of_atoms_is_passed_over() -> None:
    found = children(["C" * 1500, "CCO"], np.full(2, 0.5), 10, np.random.default_rng(1))
    assert 0 < len(found) <= 10
    assert max(map(len, found)) < 100


def test_dummies_of_a_parent_are_no_cuts() -> None:
    for seed in range(30):
        made = cross_over(parse_smiles("*CCO"), parse_smiles("CCN"), np.random.default_rng(seed), 50)
        assert made is None or not any(atom.GetIsotope() for atom in made.GetAtoms())
