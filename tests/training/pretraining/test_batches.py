import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from molbuffer.training.pretraining.length_buckets import bucketed_batches


@given(st.lists(st.integers(1, 60), max_size=300), st.integers(1, 17), st.integers(0, 5), st.integers(0, 5))
def test_every_row_occurs_once_an_epoch(lengths: list[int], batch_size: int, seed: int, epoch: int) -> None:
    batches = bucketed_batches(np.array(lengths, np.int32), batch_size, seed, epoch)
    rows = [int(row) for batch in batches for row in batch]
    assert sorted(rows) == list(range(len(lengths)))
    assert len(batches) == -(-len(lengths) // batch_size)
    assert sum(len(batch) < batch_size for batch in batches) <= 1


def test_batches_are_a_function_of_seed_and_epoch() -> None:
    lengths = np.random.default_rng(0).integers(5, 50, 200)
    one, same = (bucketed_batches(lengths, 16, 1, 2) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    for other in (bucketed_batches(lengths, 16, 1, 3), bucketed_batches(lengths, 16, 2, 2)):
        assert not np.array_equal(np.concatenate(one), np.concatenate(other))


def test_rows_of_a_batch_are_of_similar_length() -> None:
    lengths = np.random.default_rng(0).integers(5, 50, 640)
    batches = bucketed_batches(lengths, 16, 1, 0)
    spread = np.mean([np.ptp(lengths[batch]) for batch in batches])
    assert spread == pytest.approx(1.0, abs=1.0)
