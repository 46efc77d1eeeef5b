"""Internal diversity and scaffolds, worked out by RDKit's own way from checked molecules."""

from itertools import combinations

import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator
from rdkit.Chem.Scaffolds import MurckoScaffold

from molbuffer.scoring import Diversity, canonical_smiles, diversity_of


def canonical(smiles: str) -> str:
    return canonical_smiles(Chem.MolFromSmiles(smiles))


def test_of_molecules_that_are_the_same_nothing_is_different() -> None:
    assert diversity_of(["CCO", "CCO", "CCO", "CCO"]) == Diversity(0.0, 0.25)


def test_fewer_than_two_have_no_pair() -> None:
    assert diversity_of([]) == Diversity(None, None)
    assert diversity_of(["c1ccccc1"]) == Diversity(None, 1.0)


def test_methane_and_water_share_no_environment() -> None:
    assert diversity_of(["C", "O"]).internal == 1.0
    assert diversity_of(["C", "O", "C"]).internal == pytest.approx(2 / 3)


def test_scaffolds_by_hand() -> None:
    # Toluene and phenol share benzene; both chains share the empty scaffold; stereo and substituents do not count.
    assert diversity_of(["Cc1ccccc1", "Oc1ccccc1", "CCO", "CCN", "c1ccncc1"]).scaffolds == 3 / 5
    one, other = canonical("O=C(c1ccccc1)[C@@H]1CCCO1"), canonical("O=C(c1ccccc1)[C@H]1CCCO1")
    assert one != other
    assert diversity_of([one, other]).scaffolds == 1 / 2


def test_the_figures_are_those_of_molecules_that_were_parsed_with_every_check(molecules: list[str]) -> None:
    names = [canonical(text) for text in molecules]
    checked = [Chem.MolFromSmiles(text) for text in molecules]
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    prints = [generator.GetFingerprint(molecule) for molecule in checked]
    distances = [1 - DataStructs.TanimotoSimilarity(a, b) for a, b in combinations(prints, 2)]
    scaffolds = {Chem.MolToSmiles(MurckoScaffold.GetScaffoldForMol(m), isomericSmiles=False) for m in checked}
    assert diversity_of(names).internal == pytest.approx(sum(distances) / len(distances), abs=1e-12)
    assert diversity_of(names).scaffolds == len(scaffolds) / len(names)


@pytest.mark.parametrize("smiles", ["[Na+].[Cl-]", "*CC", "[H][H]", "C" * 400, "[Fe]", "c1ccc2ccccc2c1.O"])
def test_odd_molecules_have_figures(smiles: str) -> None:
    found = diversity_of([canonical(smiles), "CCO"])
    assert found.internal is not None and 0 <= found.internal <= 1
    assert found.scaffolds in (0.5, 1.0)
