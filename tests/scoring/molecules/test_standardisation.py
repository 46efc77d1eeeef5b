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
from molbuffer.scoring.molecules.parsing import parse_smiles
from molbuffer.scoring.molecules.standardisation import are_other_molecules

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


PARTS = [
    *("C", "N", "O", "S", "P", "F", "c1ccccc1", "C(=O)", "S(=O)", "S(=O)(=O)", "N(=O)=O", "P(=O)(O)O", "C(=N)O", "C=C"),
    *("[O-]", "[NH3+]", "[CH-]", "[C-]", "[N+]", "[N-]", "[S+]", "[P+]", "[n-]", "N=N#N", "[N+]#[C-]", "[CH2]", "[C]"),
    *(
        "[Na]",
        "[Zn]",
        "[Fe]",
        "[Pt]",
        ".[Na+]",
        ".[Cl-]",
        "[2H]",
        "[CH3:1]",
        "[C:2]",
        "*",
        "[C@H](F)",
        "/C=C/",
        "\\N=C/",
    ),
    *("c1[nH]nc([O-])[nH+]1", "c1no[n+](C)c1[O-]", "[O-][n+]1ccccc1", "N1C(=O)c2ccccc2C1=O", "[C@H]1CC[C@@H](C)CC1"),
]
IMIDE = "O=C(c1ccccc1C(=O)N1C(=O)c2ccccc2C1=O)N1C(=O)c2ccccc2C1=O"
NEUTRAL, TAUTOMER = Standardisation(neutralise=True), Standardisation(canonical_tautomer=True)
EVERY_WAY = [Standardisation(), LARGEST, AS_DRAWN, NEUTRAL, TAUTOMER]


@settings(max_examples=150, deadline=None)
@given(parts=st.lists(st.sampled_from(PARTS), min_size=1, max_size=5), how=st.sampled_from(EVERY_WAY))
def test_r33_the_name_of_a_name_is_that_name(parts: list[str], how: Standardisation) -> None:
    named = standardise("".join(parts), how)
    if named is not None:
        assert standardise_smiles(named.smiles, how) == named.smiles
        assert Chem.MolToSmiles(named.molecule) in (named.smiles, Chem.MolToSmiles(Chem.MolFromSmiles(named.smiles)))


def test_r33_names_that_rdkit_exchanges_for_ever_are_one() -> None:
    """The canonical SMILES of this molecule, read and written again, is another one, and that of that one is this."""
    spellings = Chem.MolToRandomSmilesVect(Chem.MolFromSmiles(IMIDE), 50, randomSeed=1)
    written = {Chem.CanonSmiles(text) for text in spellings}
    assert len(written) == 2, "RDKit has changed: this test needs another such molecule"
    for how in EVERY_WAY[:3]:
        assert {standardise_smiles(text, how) for text in (*spellings, *written)} == {min(written)}


STAYING = [
    *("C=C[CH-]C=C", "C[CH-]C(C)=O", "CCC([CH2-])=O", "CC(=O)[CH-]C(=O)CC", "OB(O)c1ccc[cH-]1", "O=C([O-])CS(=O)(=O)O"),
    *("CC(=O)[O-].CS(=O)(=O)O", "CNNC[N+]#N", "C=C[Fe]", "[Na].CO", "CC(=N)O", "CC[O-].Oc1ccccc1", "[CH2]C", "[Cl]"),
]


@pytest.mark.parametrize("smiles", STAYING)
def test_r6_no_proton_moves_and_no_electron_comes_or_goes(smiles: str) -> None:
    assert standardise_smiles(smiles) == Chem.CanonSmiles(smiles)


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("CN(=O)=O", "C[N+](=O)[O-]"),
        ("CN=N#N", "CN=[N+]=[N-]"),
        ("C[S+2]([O-])([O-])C", "CS(C)(=O)=O"),
        ("CC[S@](C)=O", "CC[S@+](C)[O-]"),
        ("C[n+]1ccccc1[O-]", "Cn1ccccc1=O"),
        ("CC(=O)O[Zn]OC(C)=O", "CC(=O)[O-].CC(=O)[O-].[Zn+2]"),
        ("Cc1[nH]nc([O-])[nH+]1", "Cc1[nH]nc([O-])[nH+]1"),
    ],
)
@pytest.mark.parametrize("how", [Standardisation(), LARGEST], ids=["salts", "largest"])
def test_the_clean_up_gives_the_same_molecule(spelling: str, name: str, how: Standardisation) -> None:
    named = standardise(spelling, how)
    assert named is not None
    if "." not in name:
        assert named.smiles == name
        assert Chem.MolToInchiKey(named.molecule) == Chem.MolToInchiKey(Chem.MolFromSmiles(spelling))
    elif not how.largest_fragment:
        assert named.smiles == name


def test_states_of_protonation_and_tautomers_are_one_on_request() -> None:
    acid = ("CS(=O)(=O)NC(C)=O", "CS(=O)(=O)[N-]C(C)=O")
    pyridone = ("Oc1ccccn1", "O=c1cccc[nH]1")
    for how, forms in ((NEUTRAL, acid), (TAUTOMER, pyridone)):
        assert len({standardise_smiles(text) for text in forms}) == 2
        assert len({standardise_smiles(text, how) for text in forms}) == 1
    assert standardise_smiles("C[N+](C)(C)C", NEUTRAL) == "C[N+](C)(C)C", "no proton can take this charge away"


@pytest.mark.parametrize(
    ("mapped", "name"),
    [
        ("[CH3:1][CH2:2][OH:3]", "CCO"),
        ("[CH3:1]C([CH3:2])O", "CC(C)O"),
        ("[CH3:1][C@H]([CH3:2])O", "CC(C)O"),
        ("[13CH3:4]O", "[13CH3]O"),
        ("[*:1]C", "*C"),
    ],
)
@pytest.mark.parametrize("how", [Standardisation(), AS_DRAWN], ids=["cleaned", "as-drawn"])
def test_the_numbers_of_an_atom_map_are_removed(mapped: str, name: str, how: Standardisation) -> None:
    assert standardise_smiles(mapped, how) == name


def test_a_string_that_is_too_long_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    short, long = Standardisation(max_length=10), "C" * 100_000
    assert standardise_smiles("C" * 10, short) == "C" * 10
    # Ten characters, of which RDKit's canonical form has more.
    assert standardise_smiles("CS(C)(=O)C", short) is None
    parsed: list[str] = []
    monkeypatch.setattr(Chem, "MolFromSmiles", lambda text, **_: parsed.append(text))
    assert standardise(long) is None
    assert are_other_molecules([(long, "C")]) == [False]
    assert parsed == []


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


def test_parsing_leaves_the_molecule_as_written() -> None:
    molecule = parse_smiles("CS(C)=O")
    assert molecule is not None
    assert Chem.MolToSmiles(molecule) == "CS(C)=O"


@pytest.mark.parametrize(
    ("isomers", "name"),
    [
        (("C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", "CC(N)C(=O)O"), "CC(N)C(=O)O"),
        (("F/C=C/F", "F/C=C\\F", "FC=CF"), "FC=CF"),
        (("[H]/N=C(/C)N", "[H]/N=C(\\C)N"), "CC(=N)N"),
        (("C[S@](=O)c1ccccc1", "C[S@@+]([O-])c1ccccc1"), "C[S+]([O-])c1ccccc1"),
        (("[2H][C@H](C)O", "[2H][C@@H](C)O"), "[2H]C(C)O"),
    ],
)
def test_stereoisomers_have_one_name_where_stereochemistry_is_dropped(isomers: tuple[str, ...], name: str) -> None:
    flat = Standardisation(stereo="drop")
    assert {standardise_smiles(text, flat) for text in isomers} == {name}
    assert standardise_smiles(name, flat) == name
    assert len({standardise_smiles(text) for text in isomers}) > 1


def test_the_molecule_of_a_flat_name_has_no_stereochemistry() -> None:
    named = standardise("C[C@H](N)/C=C/C(=O)O", Standardisation(stereo="drop"))
    assert named is not None
    assert not any(atom.GetChiralTag() for atom in named.molecule.GetAtoms())
    assert Chem.MolToSmiles(named.molecule) == named.smiles == "CC(N)C=CC(=O)O"


def test_another_choice_of_stereo_is_refused() -> None:
    with pytest.raises(ScoringConfigurationError, match="'keep' or 'drop'"):
        Standardisation(stereo="both")  # type: ignore[arg-type]
