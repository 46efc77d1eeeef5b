"""SMARTS: hydrogens and configurations count wherever a pattern is used; one that can match nothing is refused."""

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from molbuffer.scoring import Filter, ScoringConfigurationError
from molbuffer.scoring.components import Substructure
from molbuffer.scoring.filters import SubstructureFilter
from molbuffer.scoring.molecules.queries.patterns import matches, parse_smarts
from molbuffer.scoring.molecules.queries.query_trees import QueryTree

L_ALANINE, D_ALANINE, ALANINE = "N[C@@H](C)C(=O)O", "N[C@H](C)C(=O)O", "CC(N)C(=O)O"


def has(smiles: str, smarts: str) -> bool:
    """Return whether a molecule has a pattern, as both kinds of filters and the component say alike."""
    molecule = Chem.MolFromSmiles(smiles)
    required: Filter = SubstructureFilter(must_have=(smarts,))
    forbidden: Filter = SubstructureFilter(must_not_have=(smarts,))
    (score,) = Substructure(smarts).values([smiles])
    answers = {required.accepts(molecule), not forbidden.accepts(molecule), score.value == 1}
    assert len(answers) == 1
    return answers.pop()


@pytest.mark.parametrize(
    ("smarts", "there", "absent"),
    [
        ("[H]N", ["CN", "CNC"], ["CN(C)C", "CO"]),
        ("[#1]O", ["CO"], ["COC"]),
        ("N([H])[H]", ["CN"], ["CNC"]),
        ("[$([H]N)]", ["CN"], ["CN(C)C"]),
        ("[C;!$(C[H])]", ["FC(F)(F)F"], []),
        ("[2H]C", ["[2H]C"], ["C", "CC"]),
        ("[!#1]", ["C"], []),
        ("C[C@H](N)C(=O)O", [L_ALANINE], [D_ALANINE, ALANINE]),
        ("F/C=C/F", ["F/C=C/F"], ["F/C=C\\F", "FC=CF"]),
        ("FC=CF", ["F/C=C/F", "F/C=C\\F", "FC=CF"], []),
    ],
)
def test_hydrogens_and_configurations_count(smarts: str, there: list[str], absent: list[str]) -> None:
    assert [has(each, smarts) for each in (*there, *absent)] == [True] * len(there) + [False] * len(absent)


@pytest.mark.parametrize("order", list(permutations(["F", "Cl", "Br"])))
@pytest.mark.parametrize("form", ["[C@H]({})({}){}", "{}[C@H]({}){}", "[C@@H]({})({}){}", "{}[C@@H]({}){}"])
def test_a_pattern_matches_the_mirror_image_that_it_writes(form: str, order: tuple[str, ...]) -> None:
    written = form.format(*order)
    mirrored = written.replace("@@", "@") if "@@" in written else written.replace("@", "@@")
    assert (has(written, written), has(mirrored, written), has("FC(Cl)Br", written)) == (True, False, False)


@pytest.mark.parametrize(
    "smarts",
    [
        *("[C;N]", "[c;A]", "[a;A]", "[C;!C]", "[C;!#6]", "[+;-]", "[R;R0]", "[r5;r6]", "[H0;!H0]", "[C,N;O]", "[!*]"),
        *("CC[O;S]C", "C-;=C", "C-;!-C", "[$([C;N])]", "[C;!$([O;S])]", "[$(C[$([C;N])])]"),
        *("[H]", "[#1]", "[#6,#1]N", "[H][H]", "C.[H]", "[$([#1])]"),
        *("[H][C@](F)(Cl)Br", "F[C@](Cl)([H])Br", "[H]/C(F)=C/F", "[$(F/C=C/F)]", "[$([C@@H](F)Cl)]"),
    ],
)
def test_a_pattern_that_can_match_nothing_is_refused(smarts: str) -> None:
    for make in (parse_smarts, Substructure, lambda text: SubstructureFilter(must_not_have=(text,))):
        with pytest.raises(ScoringConfigurationError):
            make(smarts)


@pytest.mark.parametrize("smarts", ["", "c1ccc", "[", "💥", "C/?C"])
def test_a_text_that_is_no_pattern_is_refused(smarts: str) -> None:
    with pytest.raises(ScoringConfigurationError):
        parse_smarts(smarts)


ATOMS = ["C", "c", "N", "n", "#6", "A", "a", "H0", "H1", "+", "-", "+0", "R", "R0", "R1", "r5", "r6", "X3", "D2", "v4"]
SUBJECTS = [
    Chem.MolFromSmiles(each)
    for each in ("CCN", "c1ccccc1O", "C1CCCC1", "c1ccc2[nH]ccc2c1", "C[N+](C)(C)C", "CC(=O)[O-]", "c1cc[nH+]cc1")
]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from(["", "!"]), st.sampled_from(ATOMS)), min_size=1, max_size=3),
        min_size=1,
        max_size=3,
    )
)
def test_no_pattern_is_refused_that_matches_something(terms: list[list[tuple[str, str]]]) -> None:
    smarts = "[" + ";".join(",".join(sign + primitive for sign, primitive in term) for term in terms) + "]"
    query = Chem.MolFromSmarts(smarts)
    if any(each.HasSubstructMatch(query) for each in SUBJECTS):
        assert QueryTree.of(query.GetAtomWithIdx(0).DescribeQuery()).can_be_true()
        parse_smarts(smarts)


def test_an_atom_in_rings_of_two_sizes_has_both() -> None:
    assert matches(Chem.MolFromSmiles("C1CCC2CCCCC12"), "[k5;k6]")


def test_r5_scores_of_patterns_that_mean_what_they_meant_are_kept() -> None:
    """The version of a component is the hash of what its value depends on; these hashes are in stores."""
    same = Substructure("C(=O)[NH]").version
    assert same == "054eee81707594b769b59e80ccb09382ae7a989b00f7c8dc116754f2666e8b68"
    changed = {Substructure(smarts).version for smarts in ("[H]N", "C[C@H](N)O", "F/C=C/F")}
    assert len(changed | {same}) == 4
