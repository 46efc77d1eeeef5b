"""The diversity memory: what counts, in which bucket, the penalty of a row, and that a restored memory is the same."""

from __future__ import annotations

import numpy as np
import pytest

from molbuffer.training import DiversityMemory, DiversitySettings

TOLUENE, PHENOL, ANILINE, ETHANOL, PROPANOL = "Cc1ccccc1", "Oc1ccccc1", "Nc1ccccc1", "CCO", "CCCO"
PYRIDINE, CYCLOHEXANE = "c1ccncc1", "C1CCCCC1"


def memory(**settings) -> DiversityMemory:
    return DiversityMemory(DiversitySettings(**{"size": 2, "min_reward": 0.5} | settings))


def rewards(*values: float) -> np.ndarray:
    return np.array(values, np.float64)


def test_good_molecules_count_once_in_the_bucket_of_their_scaffold():
    kept = memory()
    kept.count(0, [TOLUENE, PHENOL, TOLUENE, ANILINE, ETHANOL], rewards(0.9, 0.5, 0.9, 0.49, np.nan))
    assert kept.counts == {"c1ccccc1": 2}
    kept.count(1, [TOLUENE, PYRIDINE], rewards(0.9, 0.9))
    assert kept.counts == {"c1ccccc1": 2, "c1ccncc1": 1}
    assert [(each.iteration, each.smiles, each.bucket) for each in kept.take_new()] == [
        (0, TOLUENE, "c1ccccc1"),
        (0, PHENOL, "c1ccccc1"),
        (1, PYRIDINE, "c1ccncc1"),
    ]
    assert kept.take_new() == []
    assert kept.metrics() == {"buckets": 2.0, "full_buckets": 1.0}


def test_r31_all_good_rows_of_a_bucket_that_is_more_than_full_are_penalised_and_others_are_not():
    kept = memory()
    kept.count(0, [TOLUENE, PHENOL], rewards(0.9, 0.9))
    rows, of_rows = [TOLUENE, ANILINE, PYRIDINE, None, ANILINE], rewards(0.9, 0.8, 0.9, 0.0, 0.1)
    assert kept.penalties(rows, of_rows).tolist() == [1, 1, 1, 1, 1]
    kept.count(1, [ANILINE], rewards(0.8))
    # The bad draw of aniline keeps the little that it has.
    assert kept.penalties(rows, of_rows).tolist() == [0, 0, 1, 1, 1]


def test_molecules_of_one_generic_scaffold_are_alike():
    kept = memory(buckets="generic_scaffold", penalty="linear", size=4)
    kept.count(0, [TOLUENE, PYRIDINE, ETHANOL], rewards(1, 1, 1))
    assert kept.counts == {"C1CCCCC1": 2, "": 1}
    assert kept.penalties([CYCLOHEXANE, PROPANOL], rewards(1, 1)).tolist() == [0.5, 0.75]


@pytest.mark.parametrize("buckets", ["scaffold", "molecule"])
def test_what_others_found_counts_once_and_what_counts_already_does_not(buckets):
    kept = memory(buckets=buckets)
    kept.count(0, [TOLUENE], rewards(0.9))
    kept.take_new()
    found = [TOLUENE, PHENOL, ANILINE, PYRIDINE]
    assert kept.count_others(4, found, rewards(0.9, 0.8, 0.4, np.nan)) == 1
    assert [(each.iteration, each.smiles) for each in kept.take_new()] == [(4, PHENOL)]
    assert kept.count_others(5, found, rewards(0.9, 0.8, 0.4, np.nan)) == 0
    assert sum(kept.counts.values()) == 2


def test_each_draw_of_a_molecule_counts_where_buckets_are_molecules():
    kept = memory(buckets="molecule")
    kept.count(0, [TOLUENE, TOLUENE], rewards(1, 1))
    kept.count(1, [TOLUENE, PHENOL], rewards(1, 1))
    assert kept.counts == {TOLUENE: 3, PHENOL: 1}
    assert kept.penalties([TOLUENE, PHENOL, ANILINE], rewards(1, 1, 1)).tolist() == [0, 1, 1]


def test_a_molecule_belongs_to_the_most_similar_centre_or_is_one():
    kept = memory(buckets="similarity", min_similarity=0.4, size=1)
    kept.count(0, [TOLUENE, ETHANOL, PROPANOL, PHENOL], rewards(1, 1, 1, 1))
    assert kept.counts == {TOLUENE: 2, ETHANOL: 2}
    assert kept.penalties([ANILINE, PYRIDINE, "CCN"], rewards(1, 1, 1)).tolist() == [0, 1, 1]
    assert len(kept.counts) == 2, "judging a molecule opens no bucket"


@pytest.mark.parametrize("buckets", ["scaffold", "generic_scaffold", "molecule", "similarity"])
def test_a_restored_memory_goes_on_as_the_first_would_have(buckets):
    similarity = {"min_similarity": 0.3} if buckets == "similarity" else {}
    first, later = memory(buckets=buckets, **similarity), [PYRIDINE, ANILINE, PROPANOL, TOLUENE]
    first.count(0, [TOLUENE, PHENOL, ETHANOL, TOLUENE], rewards(0.9, 0.6, 0.5, 0.9))
    first.count(1, [CYCLOHEXANE], rewards(0.7))
    second = memory(buckets=buckets, **similarity)
    second.restore(first.take_new())
    for each in (first, second):
        each.count(2, later, rewards(0.9, 0.9, 0.9, 0.9))
    assert first.counts == second.counts
    assert first.take_new() == second.take_new()
    assert np.array_equal(first.penalties(later, rewards(1, 1, 1, 1)), second.penalties(later, rewards(1, 1, 1, 1)))


@pytest.mark.parametrize(
    "wrong",
    [{"size": 0}, {"min_reward": 1.5}, {"min_similarity": -0.1}, {"min_similarity": 0.5}, {"bonus_weight": 0.0}],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        DiversitySettings(**wrong)


def test_molecules_of_a_bucket_with_more_than_fill_it_are_overfull():
    kept = memory(purge=True)
    kept.count(0, [TOLUENE, PHENOL, PYRIDINE], rewards(1, 1, 1))
    assert not kept.purging, "a full bucket still has its full reward"
    kept.count(1, [ANILINE], rewards(1))
    assert kept.purging
    asked = [TOLUENE, PYRIDINE, PHENOL, None, "Cc1ccccc1C", ETHANOL]
    assert kept.overfull(asked, rewards(1, 1, 0.4, 1, 1, np.nan)).tolist() == [True, False, False, False, True, False]
    assert not memory().purging


def test_what_is_learned_is_reward_and_bonus_times_penalty():
    kept = memory(penalty="none", bonus="rnd", bonus_weight=0.5)
    learned = kept.learned([TOLUENE, PHENOL], rewards(0.8, 0.2))
    assert learned == pytest.approx([0.8 + 0.5, 0.2]), "a molecule that is unlike any, and one that does not count"
    kept = memory(size=1, bonus="rnd")
    kept.count(0, [TOLUENE, PHENOL], rewards(1, 1))
    assert kept.learned([TOLUENE], rewards(0.8)).tolist() == [0.0]
