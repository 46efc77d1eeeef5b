"""Shares of a batch as whole rows.

Quotas are integers by the method of largest remainder, so that they sum to the batch exactly: rounding each share
down would lose rows (five shares of 0.2 of 128 make 125).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from molbuffer.samplers.errors import QuotaError

TOLERANCE = 1e-9
"""How far a sum of shares may exceed 1 by the rounding of decimal fractions."""


def batch_quotas(batch_size: int, shares: Sequence[float]) -> list[int]:
    """Return the rows of a batch that each sampler draws live; what is left of the batch comes from the buffer.

    The buffer takes part in the rounding with the share that the samplers leave. A remainder goes to the largest
    fraction, among equal ones to the sampler that comes first, and to the buffer last.

    Args:
        batch_size: rows of the batch, >= 0.
        shares: each sampler's share, in [0, 1].

    Returns:
        One integer a sampler, >= 0, of sum <= batch_size; it equals batch_size when the shares sum to 1.

    Raises:
        QuotaError: a share is outside [0, 1], or the shares sum to more than 1.
    """
    if batch_size < 0:
        raise QuotaError(f"a batch needs a size >= 0, got {batch_size}")
    for share in shares:
        if not 0 <= share <= 1:
            raise QuotaError(f"a share of a batch must be in [0, 1], got {share}")
    total = sum(shares)
    if total > 1 + TOLERANCE:
        raise QuotaError(f"the shares of a batch must sum to at most 1, got {total:.12g} from {list(shares)}")
    if not shares:
        return []
    # Decimal text, not the binary value: 0.1 is meant as a tenth, so that equal remainders are equal.
    parts = [Fraction(str(share)) for share in shares]
    left = 1 - sum(parts)
    buffer = left if left > TOLERANCE else Fraction(0)
    ideal = [batch_size * part for part in (*parts, buffer)]
    quotas = [int(rows) for rows in ideal]
    by_remainder = sorted(range(len(ideal)), key=lambda i: (quotas[i] - ideal[i], i))
    missing = batch_size - sum(quotas)
    for i in by_remainder[:missing]:
        quotas[i] += 1
    return quotas[:-1]
