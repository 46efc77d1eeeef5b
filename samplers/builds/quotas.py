"""The shares of a batch as whole rows.

Quotas are integers by the method of largest remainder, so that they sum to the batch exactly. Rounding each share down
would lose rows: five shares of 0.2 of 128 make 125.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from molbuffer.samplers.errors import QuotaError

CHUNK_ROWS = 2048
"""The number of kept rows of a chunk of a build: at least a second of work, and little to lose if a process dies."""

TOLERANCE = 1e-9
"""The tolerance by which a sum of shares may exceed 1, for rounding errors of decimal fractions."""


def batch_quotas(batch_size: int, shares: Sequence[float]) -> list[int]:
    """Return the rows of a batch that each sampler draws live; the other rows come from the buffer.

    The buffer takes part in the rounding with the share that the samplers leave. A remainder goes to the largest
    fraction; among equal fractions to the sampler that comes first, and to the buffer last.

    Args:
        batch_size: the rows of the batch, >= 0.
        shares: each sampler's share, in [0, 1].

    Returns:
        One integer >= 0 for each sampler; their sum is at most batch_size, and equal to it if the shares sum to 1.

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
    # From the decimal text and not the binary value: 0.1 is exactly a tenth, so that equal remainders are equal.
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
