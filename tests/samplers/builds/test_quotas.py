import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molbuffer.samplers.builds.quotas import batch_quotas
from molbuffer.samplers.errors import QuotaError

PER_THOUSAND = st.lists(st.integers(0, 1000), min_size=1, max_size=8)


@st.composite
def shares_up_to_one(draw: st.DrawFn) -> list[float]:
    weights = draw(PER_THOUSAND)
    total = max(1000, sum(weights))
    return [weight / total for weight in weights]


@st.composite
def shares_of_one(draw: st.DrawFn) -> list[float]:
    cuts = sorted(draw(st.lists(st.integers(0, 1000), max_size=7)))
    return [(high - low) / 1000 for low, high in zip([0, *cuts], [*cuts, 1000], strict=True)]


@given(st.integers(0, 5000), shares_up_to_one())
def test_quotas_are_whole_close_and_at_most_the_batch(batch_size: int, shares: list[float]) -> None:
    quotas = batch_quotas(batch_size, shares)
    assert len(quotas) == len(shares)
    assert all(isinstance(quota, int) and quota >= 0 for quota in quotas)
    assert sum(quotas) <= batch_size
    for quota, share in zip(quotas, shares, strict=True):
        assert abs(quota - share * batch_size) < 1 + 1e-6
        assert quota == 0 or share > 0
    # The buffer takes part in the rounding: its rows are as close to its share.
    assert abs((batch_size - sum(quotas)) - (1 - sum(shares)) * batch_size) < 1 + 1e-6
    assert quotas == batch_quotas(batch_size, shares)


@given(st.integers(0, 5000), shares_of_one())
def test_shares_of_one_fill_the_batch(batch_size: int, shares: list[float]) -> None:
    assert sum(batch_quotas(batch_size, shares)) == batch_size


@pytest.mark.parametrize(
    ("batch_size", "shares", "expected"),
    [
        (128, [0.2] * 5, [26, 26, 26, 25, 25]),
        (64, [0.5], [32]),
        (10, [1 / 3, 1 / 3, 1 / 3], [4, 3, 3]),
        (10, [0.25, 0.25], [3, 2]),  # 2.5, 2.5 and 5 for the buffer: the one row left goes to the first
        (1, [0.5], [1]),  # a tie with the buffer goes to the sampler
        (1, [0.4], [0]),
        (3, [0.1, 0.2], [0, 1]),
        (100, [0.0, 1.0, 0.0], [0, 100, 0]),
        (7, [0.0], [0]),
        (0, [0.5, 0.5], [0, 0]),
        (5, [], []),
        (128, [0.1] * 10, [13] * 8 + [12] * 2),
    ],
)
def test_by_hand(batch_size: int, shares: list[float], expected: list[int]) -> None:
    assert batch_quotas(batch_size, shares) == expected


def test_the_rounding_of_decimal_fractions_may_exceed_one() -> None:
    assert batch_quotas(100, [0.5, 0.5 + 1e-12]) == [50, 50]
    assert batch_quotas(1000, [0.7, 0.2, 0.1]) == [700, 200, 100]  # 0.7 + 0.2 + 0.1 < 1 in binary
    with pytest.raises(QuotaError, match="at most 1"):
        batch_quotas(100, [0.5, 0.501])
    with pytest.raises(QuotaError, match="at most 1"):
        batch_quotas(100, [1.0, 1e-8])


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan, math.inf, -math.inf])
def test_a_share_outside_zero_to_one_is_refused(share: float) -> None:
    with pytest.raises(QuotaError, match=r"in \[0, 1\]"):
        batch_quotas(10, [0.1, share])


def test_a_negative_batch_is_refused() -> None:
    with pytest.raises(QuotaError, match="size >= 0"):
        batch_quotas(-1, [0.5])
