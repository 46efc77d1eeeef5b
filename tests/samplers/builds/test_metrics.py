"""R20: what the metrics of a sampler mean, worked out by hand."""

from collections.abc import Sequence

import numpy as np
import pytest

from molbuffer.samplers.builds.metrics import MOST_COMPARED, sampler_metrics
from molbuffer.storage.records import Reward, Samples, ScoreStatus
from molbuffer.storage.rows import Rows

OBJECTIVE = "objective"


def samples(*rows: tuple[str | None, str | None]) -> Samples:
    """Rows of (canonical SMILES, name of the filter that refused it)."""
    n = len(rows)
    return Samples(
        raw=[smiles or "C(" for smiles, _ in rows],
        smiles=[smiles for smiles, _ in rows],
        rejected_by=[reason for _, reason in rows],
        rows=Rows(
            tokens=np.zeros((n, 1), np.uint8),
            lengths=np.ones(n, np.int32),
            log_probs=np.zeros((n, 1), np.float32),
            vocabulary_sha256="v",
        ),
    )


def reward(row: int, value: float | None) -> Reward:
    return Reward(row, OBJECTIVE, value, ScoreStatus.FAILED if value is None else ScoreStatus.OK)


def metrics_of(
    drawn: Samples, rewards: Sequence[Reward] = (), wanted: int = 0, seen: frozenset[str] = frozenset()
) -> dict[str, float | None]:
    found = sampler_metrics(drawn, rewards, wanted, lambda smiles: set(seen.intersection(smiles)), seconds=1.5)
    assert len({metric.name for metric in found}) == len(found)
    return {metric.name: metric.value for metric in found}


def test_r20_figures_of_a_build_with_every_kind_of_row() -> None:
    drawn = samples(
        ("CCO", None),
        ("CCO", None),
        (None, "validity"),
        ("CCN", None),
        ("CCCCCC", "logp"),
        ("CCC", None),
        ("CCCCCC", "logp"),
        (None, "validity"),
    )
    rewards = [reward(0, 0.25), reward(1, 0.25), reward(3, 1.0), reward(5, None)]
    got = metrics_of(drawn, rewards, wanted=6, seen=frozenset({"CCC"}))
    assert got == {
        "drawn": 8,
        "parseable": 6,
        "kept": 4,
        "diversity": pytest.approx(4 / 6),
        "duplicates": 2,
        "valid": pytest.approx(4 / 8),
        "rewards": pytest.approx(0.5),
        # CCO once in the build and not again, CCN; CCC occurred before.
        "new": pytest.approx(2 / 4),
        # CCO and CCN have six environments each and three in common (CH3, CH2, CH3 with its neighbour), CCC has four,
        # and three of either: the six pairs are 0, 2/3, 2/3, 4/7, 4/7 and 4/7 apart.
        "internal_diversity": pytest.approx(32 / 63),
        # Chains have one scaffold, the empty one.
        "scaffolds": pytest.approx(1 / 4),
        "shortfall": 2,
        "seconds": 1.5,
    }


def test_r20_nothing_drawn_leaves_every_share_undefined() -> None:
    got = metrics_of(samples(), wanted=3)
    assert (got["drawn"], got["parseable"], got["kept"], got["shortfall"]) == (0, 0, 0, 3)
    assert all(got[name] is None for name in ("diversity", "duplicates", "valid", "rewards", "new"))
    assert got["internal_diversity"] is None and got["scaffolds"] is None


def test_r20_nothing_that_parses() -> None:
    got = metrics_of(samples((None, "validity"), (None, "validity")), wanted=2)
    assert (got["drawn"], got["parseable"], got["valid"], got["shortfall"]) == (2, 0, 0.0, 2)
    assert all(got[name] is None for name in ("diversity", "duplicates", "rewards", "new"))


def test_r20_nothing_kept() -> None:
    got = metrics_of(samples(("CC", "logp"), ("CC", "logp")), wanted=2)
    assert (got["diversity"], got["duplicates"], got["valid"]) == (0.5, 1, 0.0)
    assert got["rewards"] is None and got["new"] is None
    assert got["internal_diversity"] is None and got["scaffolds"] is None, "rejected rows are not compared"


def test_one_row_has_a_scaffold_and_no_pair() -> None:
    got = metrics_of(samples(("c1ccccc1", None)), wanted=1)
    assert (got["kept"], got["internal_diversity"], got["scaffolds"], got["new"]) == (1, None, 1.0, 1.0)


def test_what_is_compared_is_spread_over_a_large_build() -> None:
    # Half of the rows are one molecule, the others another: of 32 rows at equal distances, 16 are of either.
    half = 5 * MOST_COMPARED
    rows = [("C", None)] * half + [("O", None)] * half
    got = metrics_of(samples(*rows), wanted=2 * half)
    assert got["internal_diversity"] == pytest.approx(16 * 16 / (32 * 31 / 2))
    assert got["scaffolds"] == 1 / 32


def test_a_molecule_of_two_samplers_is_credited_to_each_by_what_it_drew() -> None:
    drawn = samples(("CCO", None), ("CCN", None))
    first = metrics_of(drawn, [reward(0, 0.5), reward(1, 0.5)], wanted=2)
    second = metrics_of(drawn, [reward(0, 0.5), reward(1, 0.5)], wanted=2, seen=frozenset({"CCO", "CCN"}))
    assert (first["new"], second["new"]) == (1.0, 0.0)
    assert {**first, "new": None} == {**second, "new": None}


def test_r20_a_failed_reward_counts_in_no_mean() -> None:
    drawn = samples(("CC", None), ("CN", None))
    assert metrics_of(drawn, [reward(0, 0.5), reward(1, None)])["rewards"] == 0.5
    assert metrics_of(drawn, [reward(0, None), reward(1, None)])["rewards"] is None


def test_r20_new_is_counted_in_row_order_and_a_rejected_row_is_an_occurrence() -> None:
    assert metrics_of(samples(("CC", "logp"), ("CC", None)))["new"] == 0.0
    assert metrics_of(samples(("CC", None), ("CC", "logp")))["new"] == 1.0
    assert metrics_of(samples(("CC", None), ("CC", None), ("CC", None)))["new"] == pytest.approx(1 / 3)


def test_r20_new_against_earlier_molecules_of_the_run() -> None:
    drawn = samples(("CC", None), ("CN", None), ("CO", None), ("CS", None))
    assert metrics_of(drawn, seen=frozenset({"CC", "CO", "CCl"}))["new"] == 0.5


def test_a_build_that_made_more_than_was_wanted_has_no_negative_shortfall() -> None:
    assert metrics_of(samples(("CC", None), ("CN", None)), wanted=1)["shortfall"] == 0
