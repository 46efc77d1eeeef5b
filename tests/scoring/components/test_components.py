import math
import os
import pickle
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem

from molbuffer.scoring import Component, RawScore, ScoringConfigurationError, ScoringError, Standardisation, score_many
from molbuffer.scoring.components import QED, Property, Rediscovery, SAScore, Similarity, Substructure

MOLECULES = [line.split()[0] for line in (Path(__file__).parents[2] / "data/molecules.smi").read_text().splitlines()]
PARACETAMOL = "CC(=O)Nc1ccc(O)cc1"

COMPONENTS: list[tuple[Component, str]] = [
    (QED(), "qed"),
    (SAScore(), "sa_score"),
    (Property("logp"), "property:logp"),
    (Similarity(PARACETAMOL), f"similarity:{PARACETAMOL}"),
    (Similarity(PARACETAMOL, "fcfp"), f"similarity:{PARACETAMOL}:fcfp2"),
    (Similarity(PARACETAMOL, radius=3), f"similarity:{PARACETAMOL}:morgan3"),
    (Similarity(PARACETAMOL, "atom_pair"), f"similarity:{PARACETAMOL}:atom_pair"),
    (Rediscovery(PARACETAMOL), f"rediscovery:{PARACETAMOL}"),
    (Substructure("c1ccccc1"), "substructure:c1ccccc1"),
]
IDS = [name.replace(PARACETAMOL, "target") for _, name in COMPONENTS]


def value(component: Component, smiles: str) -> float:
    (score,) = component.values([smiles])
    assert score.value is not None, score.error
    return score.value


@pytest.mark.parametrize(("component", "name"), COMPONENTS, ids=IDS)
def test_every_component_keeps_the_protocol(component: Component, name: str) -> None:
    assert isinstance(component, Component)
    assert component.name == name
    assert name.startswith(component.kind)
    assert len(component.version) == 64
    assert component.cost == "low"
    assert pickle.loads(pickle.dumps(component)) == component


@pytest.mark.parametrize(("component", "name"), COMPONENTS, ids=IDS)
def test_values_do_not_depend_on_processes_or_company(component: Component, name: str) -> None:
    scores = score_many(component, MOLECULES * 2)
    assert [score.value for score in scores] == [score.value for score in component.values(MOLECULES)] * 2
    assert all(score.error is None and score.seconds > 0 for score in scores)
    if component.bounded:
        assert all(0 <= score.value <= 1 for score in scores if score.value is not None)


@pytest.mark.parametrize(("component", "name"), COMPONENTS, ids=IDS)
def test_what_cannot_be_parsed_fails_alone(component: Component, name: str) -> None:
    good, bad, also_good = component.values(["CCO", "C1", "CCN"])
    assert bad.value is None
    assert bad.error == "'C1' is no molecule"
    assert (good.value, also_good.value) == (value(component, "CCO"), value(component, "CCN"))


def test_values_by_hand() -> None:
    assert value(QED(), "CC(=O)Oc1ccccc1C(=O)O") == pytest.approx(0.550, abs=1e-3)
    assert value(SAScore(), "CC(=O)Oc1ccccc1C(=O)O") == pytest.approx(1.580, abs=1e-3)
    assert value(Property("heavy_atoms"), "CCO") == 3
    assert value(Substructure("[OH]"), "CCO") == 1
    assert value(Substructure("[OH]"), "CCN") == 0


def test_similarity_counts_environments() -> None:
    """At radius 0, CCO has the atoms CH3, CH2, OH and CCCO has CH3, 2 CH2, OH: 3 shared of 4."""
    assert value(Similarity("CCO", radius=0), "CCCO") == pytest.approx(3 / 4)
    assert value(Similarity("CCCO", radius=0), "CCO") == pytest.approx(3 / 4)


def test_atom_pairs_by_hand() -> None:
    """CCO has the pairs C-C, C-O at 1 bond and C-O at 2; CCN shares none of the O, and no C-C as its degrees agree."""
    assert value(Similarity("CCO", "atom_pair"), "CCO") == 1
    assert value(Similarity("CCO", "atom_pair"), "CCN") == pytest.approx(1 / 5)


def test_fcfp_does_not_tell_halogens_apart() -> None:
    assert value(Similarity("Clc1ccccc1", "fcfp"), "Brc1ccccc1") == 1
    assert value(Similarity("Clc1ccccc1"), "Brc1ccccc1") < 1


def test_rediscovery_is_the_ecfp4_similarity_of_guacamol() -> None:
    rediscovery = Rediscovery(PARACETAMOL)
    assert value(rediscovery, PARACETAMOL) == 1
    for smiles in MOLECULES[:10]:
        assert value(rediscovery, smiles) == value(Similarity(PARACETAMOL), smiles)


def test_a_target_is_standardised_as_molecules_are() -> None:
    assert value(Rediscovery("CS(C)=O"), "C[S+](C)[O-]") == 1
    assert value(Rediscovery("CS(C)=O", Standardisation(cleanup=False)), "CS(C)=O") == 1
    assert Similarity("O=C(C)Nc1ccc(O)cc1").target == PARACETAMOL


def test_r5_versions_change_with_every_parameter() -> None:
    variants: list[Component] = [component for component, _ in COMPONENTS]
    variants += [Property("tpsa"), Similarity("CCO"), Similarity(PARACETAMOL, "fcfp", 3), Rediscovery("CCO")]
    variants += [Substructure("[OH]"), Substructure("c")]
    assert len({component.version for component in variants}) == len(variants)


def test_r5_versions_do_not_change_with_what_does_not_matter() -> None:
    for component, _ in COMPONENTS:
        assert replace(component, name="renamed").version == component.version  # type: ignore[type-var]
    assert Similarity("OCC").version == Similarity("CCO").version
    assert Similarity("CCO", "atom_pair", 3).version == Similarity("CCO", "atom_pair").version


def test_versions_are_the_same_in_every_process() -> None:
    code = "from molbuffer.scoring.components import *; print(Similarity('CCO', 'fcfp').version, QED().version)"
    expected = f"{Similarity('CCO', 'fcfp').version} {QED().version}"
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        printed = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
        assert printed.strip() == expected


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Similarity("C1"), "the target 'C1' is no SMILES"),
        (lambda: Similarity(""), "the target '' is no SMILES"),
        (lambda: Similarity("CCO", "morgen"), "did you mean 'morgan'.* Allowed: atom_pair, fcfp, morgan"),
        (lambda: Similarity("CCO", radius=-1), "radius must be from 0 to 10, got -1"),
        (lambda: Rediscovery("c1cc"), "no SMILES"),
        (lambda: Substructure("[[["), "no SMARTS"),
        (lambda: Property("log_p"), "did you mean 'logp'"),
    ],
)
def test_settings_that_cannot_be_are_refused(make: object, message: str) -> None:
    with pytest.raises(ScoringConfigurationError, match=message):
        make()  # type: ignore[operator]


def test_a_raw_score_has_a_value_or_an_error() -> None:
    for bad in ((None, None), (1.0, "why"), (math.nan, None), (math.inf, None)):
        with pytest.raises(ValueError, match="score"):
            RawScore(*bad)


@pytest.mark.parametrize(
    "got", [1, 0.5, True, np.float32(0.25), np.array(2.0), "nan", "0.5", None, math.nan, -math.inf, []]
)
def test_whatever_comes_back_becomes_a_number_or_a_failure(got: object) -> None:
    score = RawScore.of(got)
    if isinstance(got, int | float | np.generic | np.ndarray) and math.isfinite(got):
        assert score.value == float(got)
    else:
        assert score.value is None
        assert re.search("expected a (finite )?number", str(score.error))


def test_a_component_that_loses_count_is_an_error() -> None:
    class Forgetful(QED):
        def values(self, molecules: object) -> list[RawScore]:
            return [RawScore(1.0)]

    with pytest.raises(ScoringError, match="'qed' returned 1 scores for 2 molecules"):
        score_many(Forgetful(), ["CCO", "CCN"])


def test_nothing_is_scored_to_nothing() -> None:
    for component, _ in COMPONENTS:
        assert score_many(component, []) == []


def test_fingerprints_do_not_see_what_the_parser_adds() -> None:
    spelling = Chem.MolToRandomSmilesVect(Chem.MolFromSmiles(MOLECULES[-3]), 1, randomSeed=3)[0]
    assert value(Similarity(MOLECULES[-3]), spelling) == 1
