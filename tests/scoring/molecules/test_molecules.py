from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from molbuffer.scoring import (
    ScoringConfigurationError,
    Standardisation,
    standardise,
    standardise_many,
    standardise_smiles,
)
from molbuffer.scoring.molecules.molecules import are_other_molecules, parse_smarts, parse_smiles

MOLECULES = [line.split()[0] for line in (Path(__file__).parents[2] / "data/molecules.smi").read_text().splitlines()]
LARGEST = Standardisation(largest_fragment=True)
AS_DRAWN = Standardisation(cleanup=False)

NO_MOLECULE = [
    "",
    " ",
    "C1",
    "c1ccc",
    "[Xx]",
    "💥",
    "C(C)(C)(C)(C)C",
    "CCO ethanol",
    " CCO",
    "CCO\n",
    "CCO\x00C",
    "\x00",
    "\ud800",
    "C(",
    "C" * 50 + "(" * 2_000 + "C" + ")" * 2_000,
    "not a molecule",
    "C=" * 3,
]


@pytest.mark.parametrize("text", NO_MOLECULE, ids=[ascii(text)[:20] for text in NO_MOLECULE])
def test_a_string_that_is_no_molecule_gives_none(text: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert standardise(text) is None
    assert standardise_smiles(text, AS_DRAWN) is None
    assert capfd.readouterr() == ("", ""), "RDKit's complaints belong into no campaign's log"


def test_a_very_long_molecule_is_one() -> None:
    assert standardise_smiles("C" * 1_000) == "C" * 1_000


@settings(max_examples=60, deadline=None)
@given(smiles=st.sampled_from(MOLECULES), seed=st.integers(0, 2**31 - 1))
def test_r6_every_spelling_of_a_molecule_has_one_name(smiles: str, seed: int) -> None:
    (spelling,) = Chem.MolToRandomSmilesVect(Chem.MolFromSmiles(smiles), 1, randomSeed=seed)
    assert standardise_smiles(spelling) == standardise_smiles(smiles)


@settings(max_examples=100, deadline=None)
@given(text=st.text(alphabet="CNOcn()=#123[]+-@H. ", max_size=20))
def test_r6_the_name_of_a_name_is_that_name(text: str) -> None:
    name = standardise_smiles(text)
    assert name is None or standardise_smiles(name) == name


def test_different_molecules_keep_different_names() -> None:
    names = [standardise_smiles(smiles) for smiles in MOLECULES]
    assert None not in names
    assert len(set(names)) == len(MOLECULES)


@pytest.mark.parametrize(
    "smiles",
    ["CC(=O)[O-]", "C[NH3+]", "[NH3+]CC(=O)[O-]", "C[N+](C)(C)C", "c1cc[nH+]cc1"],
)
def test_r6_charges_are_kept(smiles: str) -> None:
    assert standardise_smiles(smiles) == smiles


@pytest.mark.parametrize(("one", "other"), [("Oc1ccccn1", "O=c1cccc[nH]1"), ("CC(C)=O", "C=C(C)O")])
def test_r6_tautomers_stay_different_molecules(one: str, other: str) -> None:
    assert standardise_smiles(one) != standardise_smiles(other)


def test_stereo_isomers_and_isotopes_stay_different_molecules() -> None:
    spellings = ["C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", "CC(N)C(=O)O", "F/C=C/F", "F/C=C\\F", "[2H]C", "C"]
    assert len(set(standardise_many(spellings))) == len(spellings)


def test_the_clean_up_normalises_and_can_be_switched_off() -> None:
    assert standardise_smiles("CS(C)=O") == "C[S+](C)[O-]"
    assert standardise_smiles("CS(C)=O", AS_DRAWN) == "CS(C)=O"
    assert standardise_smiles("CC(=O)O[Na]") == "CC(=O)[O-].[Na+]"


def test_the_largest_fragment_of_a_salt_is_kept_on_request() -> None:
    salt = "[Na+].CC(=O)Oc1ccccc1C(=O)[O-]"
    assert standardise_smiles(salt) == "CC(=O)Oc1ccccc1C(=O)[O-].[Na+]"
    assert standardise_smiles(salt, LARGEST) == "CC(=O)Oc1ccccc1C(=O)[O-]"
    assert standardise_smiles("CC(=O)O[Na]", LARGEST) == "CC(=O)[O-]"


def test_a_molecule_that_the_clean_up_spoils_keeps_its_form() -> None:
    """RDKit's clean-up turns this ring into one whose SMILES it cannot read."""
    sydnone = standardise_smiles("C[n+]1noc([O-])c1C", AS_DRAWN)
    assert sydnone is not None
    assert standardise_smiles(sydnone) == sydnone


def test_the_molecule_that_is_returned_is_the_one_that_is_named() -> None:
    for smiles in [*MOLECULES, "CC(=O)O[Na]"]:
        named = standardise(smiles, LARGEST)
        assert named is not None
        assert Chem.MolToSmiles(named.molecule) == named.smiles


def test_many_are_in_order_with_none_for_what_is_no_molecule() -> None:
    raw = [*MOLECULES, *NO_MOLECULE] * 2
    assert standardise_many(raw) == [standardise_smiles(text) for text in raw]


def test_other_molecules_are_those_of_other_names() -> None:
    spellings = [
        *("OCC", "CCO", "CCN", "CC[O-]", "C[N+](=O)[O-]", "CN(=O)=O", "CS(C)=O", "C[S+](C)[O-]"),
        *("CC(=O)O[Na]", "CC(=O)[O-].[Na+]", "[2H]C", "C", "[H][H]", "[2H][H]", "C(F)(Cl)Br", "F[C@](Cl)Br", "C1"),
        *MOLECULES[:8],
    ]
    pairs = [(one, other) for one in spellings for other in spellings]
    names = dict(zip(spellings, standardise_many(spellings), strict=True))
    expected = [names[one] is not None and names[one] != names[other] for one, other in pairs]
    assert are_other_molecules(pairs) == expected
    assert names["CN(=O)=O"] == names["C[N+](=O)[O-]"]
    assert names["CC(=O)O[Na]"] == names["CC(=O)[O-].[Na+]"]


def test_clean_up_leaves_heavy_atoms_as_they_are() -> None:
    for smiles in [*MOLECULES, "CC(=O)O[Na]", "C[Mg]Br", "[Pt](N)(N)(Cl)Cl", "CN(=O)=O", "C[n+]1noc([O-])c1C"]:
        named = standardise(smiles)
        assert named is not None
        elements = [
            sorted(atom.GetSymbol() for atom in molecule.GetAtoms() if atom.GetSymbol() != "H")
            for molecule in (Chem.MolFromSmiles(smiles), Chem.MolFromSmiles(named.smiles))
        ]
        assert elements[0] == elements[1]


def test_a_pattern_that_is_no_smarts_is_refused() -> None:
    for smarts in ("", "c1ccc", "[", "💥"):
        with pytest.raises(ScoringConfigurationError, match="no SMARTS pattern"):
            parse_smarts(smarts)


def test_parsing_leaves_the_molecule_as_written() -> None:
    molecule = parse_smiles("CS(C)=O")
    assert molecule is not None
    assert Chem.MolToSmiles(molecule) == "CS(C)=O"
