"""R24, R25: which pairs are kept, and what a target is worth beside its source."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator
from rdkit.DataStructs import TanimotoSimilarity

from molbuffer.scoring import ContrastiveTemplate, Objective, ScoringConfigurationError, WeightedComponent, judge_pairs
from molbuffer.scoring.components import QED
from molbuffer.scoring.filters import VALIDITY, Filter, PropertyRange
from molbuffer.scoring.pairs import SIMILARITY, SOURCE

ASPIRIN, PARACETAMOL, ETHANOL = "CC(=O)Oc1ccccc1C(=O)O", "CC(=O)Nc1ccc(O)cc1", "CCO"
HEAVY = PropertyRange("molecular_weight", minimum=100, name="heavy")
REWARD = st.floats(0, 1)


def judged(
    source: str, target: str, template: ContrastiveTemplate | None = None, filters: tuple[Filter, ...] = ()
) -> str | None:
    return judge_pairs([target], [source], filters, template)[0].target.rejected_by


def similarity_of(one: str, other: str) -> float:
    """By the folded counts of another generator, whose size makes collisions unlikely."""
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2**20)
    return float(
        TanimotoSimilarity(*(generator.GetCountFingerprint(Chem.MolFromSmiles(each)) for each in (one, other)))
    )


@pytest.mark.parametrize(
    ("source", "target", "plain", "scaled"),
    [
        (0.5, 0.75, 0.25, 0.5),  # half of the room of 0.5
        (0.5, 0.25, -0.25, -0.5),  # half of what there was to lose
        (0.2, 1.0, 0.8, 1.0),
        (0.2, 0.0, -0.2, -1.0),
        (1.0, 1.0, 0.0, 0.0),  # no room, and none needed
        (0.0, 0.0, 0.0, 0.0),
        (1.0, 0.25, -0.75, -0.75),
        (0.0, 0.25, 0.25, 0.25),
    ],
)
def test_a_pair_is_worth_the_improvement(source: float, target: float, plain: float, scaled: float) -> None:
    ends = np.array([source]), np.array([target])
    assert ContrastiveTemplate().rewards(*ends).tolist() == pytest.approx([plain])
    assert ContrastiveTemplate(scaled=True).rewards(*ends).tolist() == pytest.approx([scaled])


@given(REWARD, REWARD, st.booleans())
def test_the_reward_of_a_pair_is_finite_in_minus_1_to_1_and_has_the_sign_of_the_improvement(
    source: float, target: float, scaled: bool
) -> None:
    reward = float(ContrastiveTemplate(scaled=scaled).rewards(np.array([source]), np.array([target]))[0])
    assert -1 <= reward <= 1
    assert reward == 0 or (reward > 0) == (target > source)
    assert (target == source) <= (reward == 0)


@pytest.mark.parametrize("scaled", [False, True])
def test_r25_a_pair_with_an_end_that_was_not_scored_has_no_reward_and_is_not_refused_for_it(scaled: bool) -> None:
    template = ContrastiveTemplate(scaled=scaled, min_improvement=0.5)
    source, target = np.array([np.nan, 0.5, np.nan, 1.0]), np.array([0.5, np.nan, np.nan, 1.0])
    assert [math.isnan(reward) for reward in template.rewards(source, target)] == [True, True, True, False]
    assert template.improves(source, target).tolist() == [True, True, True, False]


def test_the_least_improvement_is_inclusive() -> None:
    template = ContrastiveTemplate(min_improvement=0.1)
    # 0.7 − 0.6 is 0.09999999999999998 in floating point.
    assert template.improves(np.array([0.6, 0.6, 0.6]), np.array([0.7, 0.69, 0.8])).tolist() == [True, False, True]
    assert ContrastiveTemplate().improves(np.array([1.0]), np.array([0.0])).tolist() == [True]
    assert ContrastiveTemplate(min_improvement=-0.5).improves(np.array([1.0, 1.0]), np.array([0.5, 0.4])).tolist() == [
        True,
        False,
    ]


def test_bounds_of_similarity_are_inclusive() -> None:
    exact = judge_pairs([PARACETAMOL], [ASPIRIN], (), ContrastiveTemplate())[0].similarity
    assert exact == pytest.approx(similarity_of(ASPIRIN, PARACETAMOL)) and 0.2 < exact < 0.8
    beside = math.nextafter(exact, 0), math.nextafter(exact, 1)
    assert judged(ASPIRIN, PARACETAMOL, ContrastiveTemplate(min_similarity=exact)) is None
    assert judged(ASPIRIN, PARACETAMOL, ContrastiveTemplate(max_similarity=exact)) is None
    assert judged(ASPIRIN, PARACETAMOL, ContrastiveTemplate(min_similarity=beside[1])) == SIMILARITY
    assert judged(ASPIRIN, PARACETAMOL, ContrastiveTemplate(max_similarity=beside[0])) == SIMILARITY


def test_a_target_that_is_its_source_has_similarity_1() -> None:
    kept, refused = ContrastiveTemplate(min_similarity=1), ContrastiveTemplate(max_similarity=0.99)
    assert judged(ASPIRIN, "OC(=O)c1ccccc1OC(C)=O", kept) is None
    assert judged(ASPIRIN, "OC(=O)c1ccccc1OC(C)=O", refused) == SIMILARITY


def test_the_kind_of_fingerprint_and_its_radius_count() -> None:
    kinds = [("morgan", 2), ("morgan", 1), ("fcfp", 2), ("atom_pair", 2)]
    templates = [ContrastiveTemplate(fingerprint=kind, radius=radius) for kind, radius in kinds]
    found = {judge_pairs([PARACETAMOL], [ASPIRIN], (), template)[0].similarity for template in templates}
    assert len(found) == 4


def test_each_end_has_its_own_filters_and_the_first_refusal_counts() -> None:
    template = ContrastiveTemplate(source_filters=(HEAVY,), max_similarity=0.99)
    assert judged(ETHANOL, ASPIRIN, template) == f"{SOURCE}:heavy"
    assert judged(ASPIRIN, ETHANOL, template) is None
    assert judged(ASPIRIN, ETHANOL, template, (HEAVY,)) == "heavy"
    assert judged(ETHANOL, ETHANOL, template, (HEAVY,)) == "heavy"
    assert judged(ETHANOL, ETHANOL, template) == f"{SOURCE}:heavy"
    assert judged("C(", ASPIRIN, template) == SOURCE
    assert judged("C(", "C(", template) == VALIDITY
    assert judged("C(", ASPIRIN) == SOURCE
    assert judged(ETHANOL, ASPIRIN) is None


def test_pairs_are_judged_in_their_order_however_many_there_are(molecules: list[str]) -> None:
    template = ContrastiveTemplate(source_filters=(HEAVY,), min_similarity=0.15)
    sources, targets = [*molecules, "C("] * 3, [*molecules[5:], ETHANOL, "c1", "", *molecules[:3]] * 3
    together = judge_pairs(targets, sources, (HEAVY,), template)
    assert len(together) >= 64  # shared among processes
    apart = [judge_pairs([t], [s], (HEAVY,), template)[0] for s, t in zip(sources, targets, strict=True)]
    assert together == apart
    assert {judgement.target.rejected_by for judgement in together} >= {None, SOURCE, SIMILARITY, VALIDITY, "heavy"}
    assert [each.source for each in together[:3]] == [Chem.CanonSmiles(text) for text in molecules[:3]]


def test_a_pair_needs_both_ends() -> None:
    with pytest.raises(ValueError, match="1 for 2"):
        judge_pairs(["C", "CC"], ["C"], ())


def test_r24_rewards_of_pairs_have_an_identity_of_their_own() -> None:
    objective = Objective((WeightedComponent(QED()),))
    plain, scaled = ContrastiveTemplate(), ContrastiveTemplate(scaled=True)
    identities = {objective.sha256, plain.objective_sha256(objective), scaled.objective_sha256(objective)}
    assert len(identities) == 3
    # What refuses a pair does not change what a given one is worth.
    filtered = ContrastiveTemplate(
        source_filters=(HEAVY,),
        min_similarity=0.4,
        max_similarity=0.9,
        fingerprint="fcfp",
        radius=3,
        min_improvement=0.1,
    )
    assert filtered.objective_sha256(objective) == plain.objective_sha256(objective)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"min_similarity": -0.1}, r"min_similarity must be in \[0, 1\], got -0.1"),
        ({"max_similarity": 1.5}, r"max_similarity must be in \[0, 1\], got 1.5"),
        ({"min_similarity": 0.6, "max_similarity": 0.5}, "at most max_similarity, got 0.6 and 0.5"),
        ({"min_improvement": 1.5}, r"min_improvement must be in \[-1, 1\], got 1.5"),
        ({"min_improvement": math.nan}, "finite"),
        ({"fingerprint": "morgen"}, "did you mean 'morgan'"),
        ({"radius": -1}, "radius must be from 0 to 10"),
    ],
)
def test_a_template_that_nothing_can_pass_is_refused(wrong: dict[str, float | str], message: str) -> None:
    with pytest.raises(ScoringConfigurationError, match=message):
        ContrastiveTemplate(**wrong)
