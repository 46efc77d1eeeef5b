"""Bemis-Murcko scaffolds."""

import pytest

from molbuffer.scoring.molecules.scaffolds import scaffolds_of


def test_a_scaffold_is_the_rings_and_what_links_them() -> None:
    smiles = ["CC(=O)Oc1ccccc1C(=O)O", "Cc1ccccc1CCN1CCOCC1", "C[C@@H]1CCCO1", "CCO", "O=C1CCCCC1"]
    assert scaffolds_of(smiles) == ["c1ccccc1", "c1ccc(CCN2CCOCC2)cc1", "C1CCOC1", "", "O=C1CCCCC1"]


def test_what_is_no_molecule_has_none() -> None:
    with pytest.raises(ValueError, match="'C1CC' is no molecule"):
        scaffolds_of(["CCO", "C1CC"])
