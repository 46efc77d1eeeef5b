"""Rows of a file without replacement: a function of how many were drawn before, and of nothing else."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from samplers.epochs import Place, file_rows, rows_from


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


def test_with_replacement_each_draw_has_rows_of_its_own() -> None:
    drawn = file_rows(4, Place(100, 5), 1000, 6, replacement=True)
    assert drawn.tolist() == file_rows(4, Place(0, 9), 1000, 6, replacement=True).tolist()
    assert drawn.tolist() != file_rows(4, Place(100, 5), 1000, 7, replacement=True).tolist()
    assert np.bincount(drawn, minlength=4).min() > 190
