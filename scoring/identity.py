"""The identity of settings: equal settings have the same hash in every process and on every machine."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

from molbuffer.scoring.errors import ScoringConfigurationError


def sha256_of(settings: Any) -> str:
    """Return the sha256 of JSON values, which does not depend on the order of keys."""
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def checked_number(what: str, value: float) -> float:
    """Return a finite number as a float, so that 1 and 1.0 have the same hash.

    Raises:
        ScoringConfigurationError: the value is no finite number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ScoringConfigurationError(f"{what} must be a finite number, got {value!r}")
    return float(value)


def check_order(low_name: str, low: float | None, high_name: str, high: float | None, *, strict: bool) -> None:
    """Refuse bounds that no value can lie between.

    Raises:
        ScoringConfigurationError: low > high, or low = high if ``strict``.
    """
    if low is None or high is None:
        return
    if low > high or (strict and low == high):
        relation = "below" if strict else "at most"
        raise ScoringConfigurationError(f"{low_name} must be {relation} {high_name}, got {low:g} and {high:g}")
