"""The tasks of PMO have the values of the oracles that the benchmark calls."""

import csv
import math
from pathlib import Path

import pytest
from rdkit import Chem

from molbuffer.scoring import (
    NAMED_OBJECTIVES,
    PMO,
    ScoringConfigurationError,
    check_objective_name,
    named_objective,
    standardise_smiles,
)
from molbuffer.scoring.components.pmo.parts import (
    Isomer,
    at_least,
    at_most,
    element_counts,
    gaussian,
    geometric_mean,
    up_to,
)
from molbuffer.scoring.components.pmo.tasks import PMO_TASKS
from molbuffer.scoring.molecules import Standardisation

VALUES = Path(__file__).parents[2] / "data" / "pmo-values.csv"
"""40 molecules and the values that PyTDC gives; the first line says of which release."""


def reference() -> dict[str, dict[str, float]]:
    lines = VALUES.read_text().splitlines()
    assert "PyTDC" in lines[0]
    rows = list(csv.DictReader(lines[1:]))
    return {task: {row["smiles"]: float(row[task]) for row in rows} for task in PMO_TASKS}


REFERENCE = reference()


def test_all_twenty_tasks_have_reference_values() -> None:
    assert len(PMO_TASKS) == 20
    assert {len(values) for values in REFERENCE.values()} == {40}


@pytest.mark.parametrize("task", PMO_TASKS)
def test_a_task_has_the_values_of_the_benchmark(task: str) -> None:
    molecules = list(REFERENCE[task])
    values = [score.value for score in PMO(task).values(molecules)]
    assert values == pytest.approx([REFERENCE[task][each] for each in molecules], abs=1e-12)


@pytest.mark.parametrize("task", PMO_TASKS)
def test_the_reference_tells_each_task_from_the_others(task: str) -> None:
    # A file in which a task were 0, or that of another, would show nothing.
    assert max(REFERENCE[task].values()) > 0.1
    assert all(REFERENCE[task] != values for other, values in REFERENCE.items() if other != task)


@pytest.mark.parametrize(
    ("task", "target"),
    [
        ("celecoxib_rediscovery", "CC1=CC=C(C=C1)C1=CC(=NN1C1=CC=C(C=C1)S(N)(=O)=O)C(F)(F)F"),
        ("albuterol_similarity", "CC(C)(C)NCC(O)c1ccc(O)c(CO)c1"),
        ("mestranol_similarity", "COc1ccc2[C@H]3CC[C@@]4(C)[C@@H](CC[C@@]4(O)C#C)[C@@H]3CCc2c1"),
        ("isomers_c7h8n2o2", "NC(=O)Nc1ccc(O)cc1"),
    ],
)
def test_a_target_has_the_value_one(task: str, target: str) -> None:
    assert PMO(task).values([target])[0].value == pytest.approx(1.0)


def test_the_shapes_of_values() -> None:
    assert gaussian(3.0, 2.0, 0.5) == pytest.approx(math.exp(-2.0))
    assert (at_least(95.0, 90.0, 10.0), at_most(3.0, 4.0, 1.0)) == (1.0, 1.0)
    assert at_least(80.0, 90.0, 10.0) == at_most(5.0, 4.0, 1.0) == pytest.approx(math.exp(-0.5))
    assert up_to(0.3, 0.75) == pytest.approx(0.4)
    assert up_to(0.9, 0.75) == 1.0
    assert geometric_mean(0.25, 1.0) == pytest.approx(0.5)
    assert geometric_mean(0.0, 1.0, 1.0) == 0.0


def test_a_formula_counts_each_element_and_all_atoms() -> None:
    # Ethanol is C2H6O; wanted is C2H6O2: one oxygen less (sigma 1) and one atom less (sigma 2), of four scores.
    expected = math.exp((-0.5 - 0.125) / 4)
    assert Isomer("C2H6O2")(Chem.MolFromSmiles("CCO")) == pytest.approx(expected)
    assert dict(element_counts(Chem.MolFromSmiles("[2H]OC*"))) == {"H": 3, "O": 1, "C": 1}


def test_what_is_no_molecule_has_a_failed_score() -> None:
    failed, fine = PMO("median1").values(["C1CC", "CCO"])
    assert failed.value is None
    assert failed.error is not None
    assert fine.value is not None


def test_a_version_belongs_to_a_task_and_not_to_a_cost_or_name() -> None:
    assert PMO("median1").version != PMO("median2").version
    assert PMO("median1", cost="high", name="mine").version == PMO("median1").version
    assert len({PMO(task).version for task in PMO_TASKS}) == 20


def test_a_task_that_there_is_not_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(ValueError, match="zaleplon_mpo"):
        PMO("zaleplon")


def test_a_named_objective_has_its_task_as_reward() -> None:
    objective = named_objective("pmo:perindopril_mpo")
    raw = {part.component.name: [0.25] for part in objective.components}
    assert objective.rewards(raw).tolist() == [0.25]  # type: ignore[arg-type]
    assert list(NAMED_OBJECTIVES) == [f"pmo:{task}" for task in PMO_TASKS]
    with pytest.raises(ScoringConfigurationError, match="did you mean 'pmo:qed'"):
        check_objective_name("pmo:qde")


def test_molecules_are_named_as_written_where_nothing_is_cleaned_up() -> None:
    kept = Standardisation(cleanup=False)
    assert all(standardise_smiles(smiles, kept) == smiles for smiles in REFERENCE["qed"])
