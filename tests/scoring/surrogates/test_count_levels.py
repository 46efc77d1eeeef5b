"""Bits of counts: their Tanimoto similarity is the min-max similarity of the counts, but for hash collisions."""

import numpy as np
import pytest

from molbuffer.scoring.molecules import Fingerprint, count_fingerprint, parse_smiles, tanimoto
from molbuffer.scoring.surrogates import count_levels
from molbuffer.scoring.surrogates.count_levels import LEVELS, WIDTH, level_bits, similarities


def test_a_count_has_a_bit_for_each_level_that_it_reaches() -> None:
    # Methane has one environment; the atoms and bonds of cyclohexane have three, six times each.
    (methane, cyclohexane) = level_bits(["C", "C1CCCCC1"], radius=2)
    assert methane.sum() == 1
    assert cyclohexane.sum() == 3 * 5  # 1, 2, 3, 4, 6


def test_the_similarity_is_that_of_the_counts(library: list[str]) -> None:
    """That of the levels of the counts but for what is hashed together, and nearly that of the counts themselves."""
    counted = [count_fingerprint(parse_smiles(text), Fingerprint.MORGAN) for text in library[:60]]
    levels = [
        {(key, level) for key, count in each.GetNonzeroElements().items() for level in LEVELS if level <= count}
        for each in counted
    ]
    of_levels = np.array([[len(a & b) / len(a | b) for b in levels] for a in levels])
    of_counts = np.array([[tanimoto(a, b) for b in counted] for a in counted])
    bits = level_bits(library[:60], radius=2)
    got = similarities(bits, bits)
    assert np.allclose(got, of_levels, atol=0.1)
    assert np.median(np.abs(got - of_levels)) < 0.01
    assert np.allclose(got, of_counts, atol=0.12)


def test_similarities_are_symmetric_and_positive_semidefinite(library: list[str]) -> None:
    bits = level_bits(library, radius=2)
    kernel = similarities(bits, bits)
    assert np.array_equal(kernel, kernel.T)
    assert np.array_equal(kernel.diagonal(), np.ones(len(library)))
    assert np.linalg.eigvalsh(kernel[:400, :400]).min() > -1e-12
    assert similarities(bits[:3], bits[:5]).shape == (3, 5)


def test_the_bits_are_those_of_every_process() -> None:
    """Stored decisions are explained by them: a change of the hash changes what a resumed run picks."""
    assert np.flatnonzero(level_bits(["CCO"], radius=2)[0]).tolist() == [98, 114, 765, 909, 996, 1659]
    assert level_bits([], radius=2).shape == (0, WIDTH)


def test_a_radius_has_bits_of_its_own() -> None:
    ethanol = [level_bits(["CCO"], radius=radius).sum() for radius in (0, 1, 2)]
    assert ethanol[0] < ethanol[1] <= ethanol[2]


def test_what_is_known_is_not_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    first = level_bits(["CCOCCOC"], radius=2)
    monkeypatch.setattr(count_levels, "count_fingerprint", None)
    assert np.array_equal(level_bits(["CCOCCOC"], radius=2), first)


def test_what_is_no_molecule_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'CC\(' is no molecule, expected a canonical SMILES"):
        level_bits(["CCO", "CC("], radius=2)
