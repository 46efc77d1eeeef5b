"""Choices: different molecules are chosen, always the same ones, and few molecules all."""

from __future__ import annotations

import numpy as np
import pytest

from molbuffer.scoring import CHOICES
from molbuffer.scoring.choices import Determinantal, MaxMin

# Five near-copies of one molecule, and three that have little in common with them and each other.
ALIKE = ["CCCCCCO", "CCCCCCCO", "CCCCCCCCO", "CCCCCCCCCO", "CCCCCCCCCCO"]
OTHERS = ["c1ccc2[nH]ccc2c1", "CC(C)(C)OC(=O)N1CCCC1", "O=S(=O)(F)c1ccncc1"]
CHOSEN = [MaxMin(), Determinantal()]


@pytest.mark.parametrize("choice", CHOSEN, ids=["maxmin", "dpp"])
@pytest.mark.parametrize("seed", range(5))
def test_the_molecules_that_differ_are_chosen(choice, seed):
    smiles = [*ALIKE[:3], *OTHERS, *ALIKE[3:]]
    chosen = [smiles[index] for index in choice.choose(smiles, 4, seed)]
    assert set(OTHERS) <= set(chosen)
    assert len(set(chosen)) == 4
    assert np.array_equal(choice.choose(smiles, 4, seed), choice.choose(smiles, 4, seed))


@pytest.mark.parametrize("choice", CHOSEN, ids=["maxmin", "dpp"])
@pytest.mark.parametrize(("n", "number"), [(0, 0), (3, 3), (4, 3)])
def test_few_molecules_are_all_chosen(choice, n, number):
    assert len(choice.choose(OTHERS, n, 0)) == number


def test_copies_do_not_break_the_determinant():
    assert len(set(Determinantal().choose(["CCO"] * 5, 4, 0).tolist())) == 4


def test_the_greedy_set_has_the_determinant_of_its_gains():
    """With three molecules the best pair that holds the first one is found by trying."""
    from molbuffer.scoring.choices import _similarities

    smiles = ["CCCCCCO", "CCCCCCCO", "c1ccccc1"]
    kernel = _similarities(smiles)
    first, second = Determinantal().choose(smiles, 2, 0).tolist()
    determinant = {other: 1 - kernel[first, other] ** 2 for other in range(3) if other != first}
    assert determinant[second] == max(determinant.values())


def test_candidates_below_one_are_refused():
    for cls in (MaxMin, Determinantal):
        with pytest.raises(ValueError, match=r"candidates.*0\.5"):
            cls(candidates=0.5)


def test_both_are_kinds():
    assert {name: kind.registered for name, kind in CHOICES.kinds.items()} == {"dpp": Determinantal, "maxmin": MaxMin}
