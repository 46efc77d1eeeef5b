"""Count fingerprints as bits, so that the similarity of many molecules with many others is one product of matrices.

The min-max similarity of counts, Σ min(a, b) / Σ max(a, b), is the Tanimoto similarity of bits if a count c is written
as c bits, "at least 1", "at least 2" and so on. Most counts of circular environments are small, and differences of
large ones matter little, so that only the levels 1, 2, 3, 4, 6, 8, 12 and 16 have a bit. The bits are hashed to 2,048;
their similarity is still a positive definite kernel (Ralaivola et al. 2005,
https://doi.org/10.1016/j.neunet.2005.07.009).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from molbuffer.scoring.molecules import Fingerprint, count_fingerprint, parse_canonical

LEVELS = np.array([1, 2, 3, 4, 6, 8, 12, 16])
"""The counts of an environment that have a bit."""
WIDTH = 2048
"""The number of bits after hashing."""

Bits = NDArray[np.float32]


def level_bits(smiles: Sequence[str], radius: int) -> Bits:
    """Return the bits, float32 [n, 2048] of 0 and 1, of the Morgan environments of canonical SMILES up to a radius.

    Raises:
        ValueError: a SMILES cannot be read.
    """
    found = [_set_bits(text, radius) for text in smiles]
    rows = np.repeat(np.arange(len(found)), [len(each) for each in found])
    bits = np.zeros((len(found), WIDTH), np.float32)
    bits[rows, np.concatenate([np.empty(0, np.int64), *found])] = 1
    return bits


def similarities(a: Bits, b: Bits) -> NDArray[np.float64]:
    """Return the Tanimoto similarity of each of n bit vectors with each of m, float64 [n, m]."""
    # Numbers of common bits are integers below 2^24, which single precision represents exactly, in half the time.
    common = (a @ b.T).astype(np.float64)
    either = a.sum(axis=1, dtype=np.float64)[:, None] + b.sum(axis=1, dtype=np.float64)
    either -= common
    common /= either
    return common


@lru_cache(maxsize=65_536)
def _set_bits(smiles: str, radius: int) -> NDArray[np.uint16]:
    counts = count_fingerprint(parse_canonical(smiles), Fingerprint.MORGAN, radius).GetNonzeroElements()
    environments = np.fromiter(counts, np.uint64, len(counts))
    numbers = np.fromiter(counts.values(), np.int64, len(counts))
    environment, level = np.nonzero(numbers[:, None] >= LEVELS)
    bits = np.unique(_mixed(environments[environment] * np.uint64(len(LEVELS)) + level.astype(np.uint64)))
    bits.flags.writeable = False
    return bits


def _mixed(keys: NDArray[np.uint64]) -> NDArray[np.uint16]:
    """Return hashes of keys in [0, 2048) by the finaliser of SplitMix64: each low bit depends on all bits of a key."""
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((keys ^ (keys >> np.uint64(31))) % np.uint64(WIDTH)).astype(np.uint16)
