"""Rows of a file without replacement: a function of how many were drawn before, and of nothing else."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from molbuffer.samplers.files.epochs import rows_from, rows_of_draw


@given(
    n_rows=st.integers(1, 30), cuts=st.lists(st.integers(0, 25), max_size=8), seed=st.integers(0, 2**40), data=st.data()
)
def test_every_epoch_has_every_row_once_however_it_is_cut(
    n_rows: int, cuts: list[int], seed: int, data: st.DataObject
) -> None:
    total = sum(cuts)
    whole = rows_from(n_rows, 0, total, seed)
    starts = np.cumsum([0, *cuts]).tolist()
    parts = [rows_from(n_rows, start, n, seed).tolist() for start, n in zip(starts, cuts, strict=False)]
    assert [row for part in parts for row in part] == whole.tolist()
    for start in range(0, total, n_rows):
        epoch = whole[start : start + n_rows].tolist()
        assert len(set(epoch)) == len(epoch)
        assert set(epoch) <= set(range(n_rows))


def test_orders_differ_by_epoch_and_by_seed() -> None:
    first, second = rows_from(50, 0, 50, 1), rows_from(50, 50, 50, 1)
    assert first.tolist() != second.tolist() != rows_from(50, 0, 50, 2).tolist()


def test_all_orders_of_an_epoch_are_equally_likely() -> None:
    orders = [tuple(rows_from(3, 3 * epoch, 3, 11).tolist()) for epoch in range(3000)]
    counts = [orders.count(order) for order in set(orders)]
    assert len(counts) == 6
    # Five degrees of freedom: 1 in 1,000 sequences of orders would exceed 20.5.
    assert sum((count - 500) ** 2 / 500 for count in counts) < 20.5


def test_with_replacement_each_row_is_independent_of_the_others() -> None:
    drawn = rows_of_draw(4, 1000, np.random.default_rng(6), replacement=True)
    assert drawn.tolist() != rows_of_draw(4, 1000, np.random.default_rng(7), replacement=True).tolist()
    assert np.bincount(drawn, minlength=4).min() > 190
    assert len(set(drawn[:4].tolist())) < 4 or len(set(drawn[4:8].tolist())) < 4


@given(n_rows=st.integers(1, 12), n=st.integers(0, 40), seed=st.integers(0, 2**40), replacement=st.booleans())
def test_a_draw_by_itself_has_every_row_before_any_comes_again(
    n_rows: int, n: int, seed: int, replacement: bool
) -> None:
    drawn = rows_of_draw(n_rows, n, np.random.default_rng(seed), replacement=replacement)
    assert drawn.shape == (n,)
    assert set(drawn.tolist()) <= set(range(n_rows))
    for start in range(0, 0 if replacement else n, n_rows):
        epoch = drawn[start : start + n_rows].tolist()
        assert len(set(epoch)) == len(epoch)


def test_a_draw_by_itself_makes_no_order_of_the_whole_file() -> None:
    rng = np.random.default_rng(0)
    few = rows_of_draw(10**12, 1000, rng), rows_of_draw(10**12, 1000, rng)
    assert len(set(np.concatenate(few).tolist())) == 2000
    assert abs(np.concatenate(few).mean() - 5e11) < 2.6e10, "four standard deviations of such a mean"
