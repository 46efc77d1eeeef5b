"""A ranking that is brought forward is the one that is made anew."""

from itertools import pairwise

import numpy as np
import pytest

from molbuffer.storage.history.forward import Splice
from molbuffer.storage.history.ranking import ForwardRanking, RankedRows


def rows(n, rng, molecules=40, rewards=6):
    """Rows of few molecules and few different rewards, of which many are equal; hashes differ in all of their bits."""
    names = np.random.default_rng(0).integers(0, 2**64, molecules, dtype=np.uint64)
    return RankedRows(rng.integers(0, rewards, n) / rewards, names[rng.integers(0, molecules, n)])


def spliced(old, read, rng, pieces):
    """A random interleaving of slices of the old rows, some of which are gone, and of all that were read."""
    bounds = np.sort(rng.integers(0, len(old.rewards) + 1, 2 * pieces))
    kept = [slice(*pair) for pair in bounds.reshape(-1, 2).tolist()]
    cuts = [0, *np.sort(rng.integers(0, len(read.rewards) + 1, pieces)).tolist(), len(read.rewards)]
    fresh = [slice(*pair) for pair in pairwise(cuts)]
    slices, of = [], []
    for number in range(pieces + 1):
        slices += [fresh[number], *kept[number : number + 1]]
        of += [False, *[True] * len(kept[number : number + 1])]
    splice = Splice(slices, of, [0] * len(slices))
    columns = ((old.rewards, read.rewards), (old.molecules, read.molecules))
    return splice, RankedRows(*(splice.column(*pair) for pair in columns))


@pytest.mark.parametrize("seed", range(60))
def test_it_is_the_one_made_anew(seed):
    rng = np.random.default_rng(seed)
    old = rows(rng.integers(0, 300), rng)
    read = rows(rng.integers(0, 80), rng, molecules=int(rng.integers(1, 60)))
    splice, new = spliced(old, read, rng, int(rng.integers(1, 5)))
    ranking = ForwardRanking(old, new, splice)
    first = ranking.best_first(old.best_first())
    np.testing.assert_array_equal(first, new.best_first())
    best = ranking.best_of_each_molecule(old.best_of_each_molecule(old.best_first()))
    np.testing.assert_array_equal(best, new.best_of_each_molecule(new.best_first()))


def test_equal_rewards_are_ranked_by_position():
    old = RankedRows(np.array([0.5, 0.5, 0.1]), np.array([1, 2, 3], np.uint64))
    splice = Splice([slice(0, 1), slice(0, 1), slice(1, 3)], [True, False, True], [0, 0, 0])
    new = RankedRows(np.array([0.5, 0.5, 0.5, 0.1]), np.array([1, 2, 2, 3], np.uint64))
    ranking = ForwardRanking(old, new, splice)
    assert ranking.best_first(np.array([0, 1, 2])).tolist() == [0, 1, 2, 3]
    # The new row is of the molecule of the one after it.
    assert ranking.best_of_each_molecule(np.array([0, 1, 2])).tolist() == [0, 1, 3]


def test_a_molecule_whose_only_row_is_gone_is_gone():
    old = RankedRows(np.array([0.9, 0.5]), np.array([1, 2], np.uint64))
    splice = Splice([slice(1, 2)], [True], [0])
    new = RankedRows(np.array([0.5]), np.array([2], np.uint64))
    ranking = ForwardRanking(old, new, splice)
    assert ranking.best_of_each_molecule(np.array([0, 1])).tolist() == [0]
