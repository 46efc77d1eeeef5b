import pickle
from dataclasses import replace
from pathlib import Path

import pytest
from rdkit import Chem

from molbuffer.scoring import Filter, Judgement, ScoringConfigurationError, Standardisation, filters, judge_many
from molbuffer.scoring.filters import (
    Alerts,
    AllowedElements,
    PropertyRange,
    RingSize,
    SingleComponent,
    SubstructureFilter,
    Valence,
    alert_catalogs,
    judge,
)
from molbuffer.scoring.molecules import QUESTIONABLE, is_ordinary

MOLECULES = [line.split()[0] for line in (Path(__file__).parents[1] / "data/molecules.smi").read_text().splitlines()]

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
SALT = "[Na+].CC(=O)[O-]"
CATECHOL_AZO = "Oc1ccc(N=Nc2ccccc2)cc1O"

CASES: list[tuple[Filter, str, list[str], list[str]]] = [
    (SingleComponent(), "single_component", ["CCO"], [SALT, "C.C"]),
    (
        Valence(),
        "valence",
        [ASPIRIN, "C[N+](=O)[O-]", "[C-]#[N+]C", "CN=[N+]=[N-]", "C[S+](C)[O-]", "F[P-](F)(F)(F)(F)F", "C[CH+]C"],
        ["[CH2]C", "C[C]C", "C[N]C", "C[O]", "CC[S]", "C[PH4]", "C[SH4]C", "C[SH](=O)=O", "C[IH2]", "*C", "C~C"],
    ),
    (Valence(("radicals",)), "valence", ["*C", "C[PH4]", "[Cu+2]", "[Na]"], ["[CH2]C"]),
    (Valence(("valences",)), "valence", ["*C", "[CH2]C", "O=[PH](O)O"], ["C[PH4]"]),
    (Valence(("queries",)), "valence", ["[CH2]C"], ["[1*]C", "C~C"]),
    (Valence(()), "valence", ["[CH2]C", "*C", "C~C"], []),
    (PropertyRange("molecular_weight", 150, 550), "molecular_weight", [ASPIRIN], ["CCO", "C" * 60]),
    (PropertyRange("rings", minimum=1), "rings", ["C1CC1"], ["CCC"]),
    (PropertyRange("logp", maximum=5), "logp", ["CCO", SALT], ["C" * 30]),
    (PropertyRange("heavy_atoms", 3, 3), "heavy_atoms", ["CCO"], ["CC", "CCCO"]),
    (SubstructureFilter(must_have=("c1ccccc1", "C(=O)[OH]")), "substructure", [ASPIRIN], ["c1ccccc1", "CC(=O)O"]),
    (SubstructureFilter(must_not_have=("[Br,I]", "N=O")), "substructure", [ASPIRIN], ["CCBr", "CN=O"]),
    (SubstructureFilter(("c",), ("Cl",)), "substructure", ["c1ccccc1"], ["CCO", "Clc1ccccc1"]),
    (Alerts(("PAINS",)), "alerts", [ASPIRIN], [CATECHOL_AZO]),
    (Alerts(("BRENK", "NIH")), "alerts", ["CC(=O)Nc1ccccc1"], ["CC=O"]),
    (RingSize(maximum=6), "ring_size", ["c1ccccc1", "CCO"], ["C1CCCCCC1"]),
    (RingSize(5, 6), "ring_size", ["c1ccc2[nH]ccc2c1"], ["C1CC1", "C1CC1c1ccccc1"]),
    (AllowedElements(("C", "N", "O")), "allowed_elements", ["CCO", "[2H]C"], ["CCF", "C[Si](C)C", "*C"]),
    (AllowedElements(("C", "*")), "allowed_elements", ["*C"], ["*CO"]),
]
CHARGES = ["", "H", "H2", "H3", "H4", "+", "H+", "H2+", "-", "H-", "-2", "+2"]
IDS = [f"{case[1]}-{number}" for number, case in enumerate(CASES)]


@pytest.mark.parametrize(("refuser", "name", "accepted", "refused"), CASES, ids=IDS)
def test_each_filter_accepts_and_refuses(refuser: Filter, name: str, accepted: list[str], refused: list[str]) -> None:
    assert isinstance(refuser, Filter)
    assert refuser.name == name
    for smiles in accepted:
        assert judge(smiles, [refuser]) == Judgement(Chem.CanonSmiles(smiles), None)
    for smiles in refused:
        assert judge(smiles, [refuser]).rejected_by == name


@pytest.mark.parametrize("refuser", [case[0] for case in CASES], ids=IDS)
def test_filters_travel_to_other_processes_and_carry_labels(refuser: Filter) -> None:
    refuser.accepts(Chem.MolFromSmiles("CCO"))
    assert pickle.loads(pickle.dumps(refuser)) == refuser
    assert replace(refuser, name="mine").name == "mine"


def test_bounds_are_inclusive() -> None:
    assert judge("CCO", [PropertyRange("tpsa", 20.23, 20.23)]).rejected_by is None
    assert judge("C1CC1", [RingSize(3, 3)]).rejected_by is None


def test_a_property_without_a_value_is_refused() -> None:
    """The surface area of two dummy atoms comes out as NaN."""
    dummies = Chem.MolFromSmiles("**")
    for bounds in ((-1e9, None), (None, 1e9)):
        assert not PropertyRange("labuteASA", *bounds).accepts(dummies)


def test_the_first_filter_that_refuses_is_named_and_the_molecule_too() -> None:
    both = [PropertyRange("rings", minimum=1), AllowedElements(("C",))]
    assert judge("OCC", both) == Judgement("CCO", "rings")
    assert judge("OCC", both[::-1]) == Judgement("CCO", "allowed_elements")


@pytest.mark.parametrize("raw", ["", "C1", "💥", "CC O"])
def test_what_is_no_molecule_is_rejected_by_validity(raw: str) -> None:
    assert judge(raw, [SingleComponent()]) == Judgement(None, "validity")


def test_what_is_too_long_is_rejected_by_length() -> None:
    short = Standardisation(max_length=10)
    assert judge("C" * 10, [], short) == Judgement("C" * 10, None)
    assert judge("C" * 11, [], short) == judge("C(" * 6, [], short) == Judgement(None, "length")
    assert judge("CS(C)(=O)C", [], short) == Judgement(None, "length"), "its canonical SMILES has more characters"
    assert judge("C" * 100_000, [Valence()]) == Judgement(None, "length")
    assert judge("C" * 9 + "(", [], short) == Judgement(None, "validity")


def test_drug_like_molecules_have_usual_valences() -> None:
    assert {judge(smiles, [Valence()]).rejected_by for smiles in MOLECULES} == {None}


def test_the_quick_look_at_valences_lets_nothing_pass_that_the_close_one_refuses() -> None:
    symbols = ["C", "N", "O", "S", "P", "F", "Br", "I", "Si", "B", "H", "*"]
    atoms = [f"[{symbol}{charge}]" for symbol in symbols for charge in CHARGES]
    bonds = ["C{}", "C{}C", "C={}", "CC#{}", "C{}(C)(C)C", "C{}(=O)=O", "C{}(=O)(=O)C", "C~{}"]
    molecules = [Chem.MolFromSmiles(bond.format(atom)) for atom in atoms for bond in bonds]
    ordinary = [each for each in molecules if each is not None and is_ordinary(each)]
    assert 10 < len(ordinary) < len(molecules) / 2
    assert not any(finds(molecule) for finds in QUESTIONABLE.values() for molecule in ordinary)


def test_r6_a_salt_is_refused_or_cut_down() -> None:
    assert judge(SALT, [SingleComponent()]).rejected_by == "single_component"
    assert judge(SALT, [], Standardisation(largest_fragment=True)) == Judgement("CC(=O)[O-]", None)


def test_many_are_judged_in_order_on_all_cores() -> None:
    each = [PropertyRange("molecular_weight", 150, 350), Alerts(("PAINS",)), SubstructureFilter(must_not_have=("Cl",))]
    raw = [*MOLECULES, "C1", "", SALT] * 2
    judged = judge_many(raw, each)
    assert judged == [judge(text, each) for text in raw]
    assert {judgement.rejected_by for judgement in judged} == {None, "validity", "molecular_weight", "substructure"}


def test_alert_catalogues_are_those_of_rdkit() -> None:
    assert {"PAINS", "BRENK", "NIH", "ZINC"} < set(alert_catalogs())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PropertyRange("mol_weight", 1), "did you mean"),
        (lambda: PropertyRange("logp"), "needs a minimum or a maximum"),
        (lambda: PropertyRange("logp", 5, 1), "minimum of logp must be at most its maximum, got 5 and 1"),
        (lambda: PropertyRange("logp", float("nan")), "finite number"),
        (lambda: PropertyRange("logp", maximum="5"), "finite number, got '5'"),  # type: ignore[arg-type]
        (lambda: SubstructureFilter(), "needs a pattern"),
        (lambda: SubstructureFilter(must_have=("c1cc",)), "'c1cc' is no SMARTS"),
        (lambda: SubstructureFilter(must_not_have="Cl"), "got the string 'Cl'"),  # type: ignore[arg-type]
        (lambda: Alerts(("PAIN",)), "did you mean 'PAINS'"),
        (lambda: Alerts(()), "needs a catalogue"),
        (lambda: Valence(("radical",)), "did you mean 'radicals'"),  # type: ignore[arg-type]
        (lambda: RingSize(), "needs a minimum or a maximum"),
        (lambda: RingSize(7, 3), "at most"),
        (lambda: AllowedElements(()), "at least one symbol"),
        (lambda: AllowedElements(("C", "Xx")), "'Xx' is not the symbol"),
        (lambda: AllowedElements("CNO"), "got the string"),  # type: ignore[arg-type]
    ],
)
def test_settings_that_cannot_be_are_refused(make: object, message: str) -> None:
    with pytest.raises(ScoringConfigurationError, match=message):
        make()  # type: ignore[operator]


def test_the_validity_filter_has_its_name() -> None:
    assert filters.VALIDITY == "validity"
