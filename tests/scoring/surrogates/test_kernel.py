"""The kernel of the Gaussian process: by hand, positive definite, and its descriptors those of RDKit's."""

import numpy as np
import pytest

from molbuffer.scoring.surrogates.descriptors import LEAST_SPREADS, NAMES, descriptor_rows
from molbuffer.scoring.surrogates.kernel import Features, Kernel, likeness

PARACETAMOL = "CC(=O)Nc1ccc(O)cc1"


def test_the_descriptors_of_paracetamol() -> None:
    (row,) = descriptor_rows([PARACETAMOL])
    found = dict(zip(NAMES, row.tolist(), strict=True))
    expected = {"C": 8, "N": 1, "O": 2, "F": 0, "hydrogens": 9, "heavy_atoms": 11, "aromatic_rings": 1}
    expected |= {"aliphatic_rings": 0, "hydrogen_bond_donors": 2, "hydrogen_bond_acceptors": 2, "fraction_sp3": 1 / 8}
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert found["logp"] == pytest.approx(1.35, abs=0.01)
    assert found["tpsa"] == pytest.approx(49.33, abs=0.01)
    assert descriptor_rows([]).shape == (0, len(NAMES)) == (0, len(LEAST_SPREADS))
    with pytest.raises(ValueError, match="'C1' is no molecule"):
        descriptor_rows(["CC", "C1"])


def test_it_is_the_formula() -> None:
    points = np.array([[0.0, 0.0], [3.0, 4.0]])
    assert likeness(points, points, 5.0) == pytest.approx(np.array([[1, np.exp(-0.5)], [np.exp(-0.5), 1]]))
    pair = Features.of(["CCO", "CCN"], 2)
    environments = Kernel(1.0, 3.0, (1.0,) * len(NAMES)).between(pair, pair)
    kernel = Kernel(0.25, 3.0, (2.0,) * len(NAMES))
    distance = np.square((pair.descriptors[0] - pair.descriptors[1]) / 2).sum()
    expected = 0.25 * environments[0, 1] + 0.75 * np.exp(-distance / 18)
    assert kernel.between(pair, pair) == pytest.approx(np.array([[1, expected], [expected, 1]]))


@pytest.mark.parametrize(("environments", "length"), [(0.1, 1.5), (0.6, 4.5), (1.0, 1.0)])
def test_it_is_positive_definite(library: list[str], environments: float, length: float) -> None:
    features = Features.of(library[:300], 2)
    kernel = Kernel(environments, length, tuple(features.spreads.tolist()))
    assert np.linalg.eigvalsh(kernel.between(features, features)).min() > -1e-9


def test_descriptors_that_do_not_differ_have_a_unit() -> None:
    assert Features.of(["CCO"] * 3, 2).spreads.tolist() == LEAST_SPREADS.tolist()
