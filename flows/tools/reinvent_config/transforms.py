"""Convert the transforms of REINVENT 4 to transforms of a campaign.

The formulas are those of REINVENT 4 (Loeffler et al., Journal of Cheminformatics 16:20, 2024): with
S(u) = 1 / (1 + 10^(−u)), ``sigmoid`` is S(10 k (x − (low + high)/2) / (high − low)), ``reverse_sigmoid`` is 1 minus
that, and ``double_sigmoid`` is the rising flank S(coef_si / coef_div (x − low)) below the middle and the falling flank
1 − S(coef_se / coef_div (x − high)) from the middle on.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molbuffer.flows.tools.reinvent_config.reading import Table
from molbuffer.scoring import DoubleSigmoid

FAR = 1e300
"""The value for the missing bound of a step with one bound."""
NOTICEABLE = 1e-3
"""The largest deviation of a converted transform from the original that is not reported."""

UNLIKE = {
    "exponentialdecay": "no transform falls exponentially",
    "valuemapping": "raw values are numbers, so that no transform maps texts",
}

Settings = dict[str, Any]


def transform_of(endpoint: Table) -> tuple[Settings | None, str | None]:
    """Return the transform of an endpoint or None, and the reason if its transform has no counterpart, else None."""
    table = endpoint.table("transform")
    if table is None:
        return None, None
    kind = plain_name(table.text("type"))
    if kind in UNLIKE:
        return None, f"transform {table.text('type')}: {UNLIKE[kind]}"
    if kind not in _BY_NAME:
        known = "sigmoid, reverse_sigmoid, double_sigmoid, step, left_step, right_step"
        return None, f"transform {table.text('type')!r} is not one of those that can be converted: {known}"
    missing = [key for key in _REQUIRED[kind] if key not in table]
    for key in missing:
        endpoint.wrong("transform", f"a {table.text('type')} transform lacks the key `{key}`")
    converted = _BY_NAME[kind](table)
    table.say_unknown()
    if isinstance(converted, str):
        return None, f"transform {table.text('type')}: {converted}"
    return converted, None


def plain_name(name: str) -> str:
    """Return a name in the form in which REINVENT compares names: in lower case, without hyphens and underscores."""
    return name.lower().replace("-", "").replace("_", "")


def double_sigmoid(
    *, x: NDArray[np.float64], low: float, high: float, coef_div: float, coef_si: float, coef_se: float
) -> NDArray[np.float64]:
    """Return the double sigmoid of REINVENT 4 at ``x`` [n], as values [n]."""
    with np.errstate(over="ignore"):
        left = 1 / (1 + 10 ** (-coef_si / coef_div * (x - low)))
        right = 1 - 1 / (1 + 10 ** (-coef_se / coef_div * (x - high)))
    return np.where(x < (low + high) / 2, left, right)


def _sigmoid(table: Table, kinds: tuple[str, str] = ("sigmoid", "reverse_sigmoid")) -> Settings | str:
    low, high, k = table.number("low", 0.0), table.number("high", 1.0), table.number("k", 0.5)
    if k == 0:
        return "with k = 0 it is 0.5 for every molecule"
    if low == high:
        return _jump(low, rises=(k > 0) == (kinds[0] == "sigmoid"))
    # A negative steepness reverses the sigmoid, and so do bounds in reverse order.
    turned = (k < 0) != (low > high)
    return {
        "kind": kinds[1] if turned else kinds[0],
        "low": min(low, high),
        "high": max(low, high),
        "steepness": abs(k),
    }


def _reverse_sigmoid(table: Table) -> Settings | str:
    return _sigmoid(table, ("reverse_sigmoid", "sigmoid"))


def _jump(at: float, *, rises: bool) -> Settings:
    """Return the step that equals a sigmoid of width 0: 0 up to ``at`` and 1 above it if it rises, else the reverse."""
    if rises:
        return {"kind": "step", "low": math.nextafter(at, math.inf), "high": FAR}
    return {"kind": "step", "low": -FAR, "high": at}


def _double_sigmoid(table: Table) -> Settings | str:
    low, high = table.number("low", 0.0), table.number("high", 1.0)
    divisor = table.number("coef_div", 100.0)
    left, right = table.number("coef_si", 150.0), table.number("coef_se", 150.0)
    if low >= high:
        return f"its low, {low:g}, is not below its high, {high:g}"
    if divisor == 0:
        return {"kind": "step", "low": low, "high": high}
    steepness_low, steepness_high = ((high - low) * each / divisor / 10 for each in (left, right))
    if steepness_low <= 0 or steepness_high <= 0:
        return "its coefficients give a flank that does not rise towards the middle"
    x = np.linspace(low - 3 * (high - low), high + 3 * (high - low), 7001)
    ours = DoubleSigmoid(low, high, steepness_low, steepness_high)
    most = float(
        np.abs(ours(x) - double_sigmoid(x=x, low=low, high=high, coef_div=divisor, coef_si=left, coef_se=right)).max()
    )
    if most > NOTICEABLE:
        table.differs(
            None,
            f"a double sigmoid with flanks as flat as these: values differ by up to {most:.2g}, since REINVENT joins "
            f"two "
            "flanks in the middle, and molbuffer multiplies them",
        )
    return {
        "kind": "double_sigmoid",
        "low": low,
        "high": high,
        "steepness_low": steepness_low,
        "steepness_high": steepness_high,
    }


def _step(table: Table) -> Settings | str:
    low, high = table.number("low", 0.0), table.number("high", 0.0)
    return (
        {"kind": "step", "low": low, "high": high} if low <= high else f"its low, {low:g}, is above its high, {high:g}"
    )


def _left_step(table: Table) -> Settings:
    table.number("high", 0.0)
    return {"kind": "step", "low": -FAR, "high": table.number("low", 0.0)}


def _right_step(table: Table) -> Settings:
    table.number("low", 0.0)
    return {"kind": "step", "low": table.number("high", 0.0), "high": FAR}


_BY_NAME = {
    "sigmoid": _sigmoid,
    "reversesigmoid": _reverse_sigmoid,
    "doublesigmoid": _double_sigmoid,
    "step": _step,
    "leftstep": _left_step,
    "rightstep": _right_step,
}
_REQUIRED = {
    "sigmoid": ("low", "high", "k"),
    "reversesigmoid": ("low", "high", "k"),
    "doublesigmoid": ("low", "high"),
    "step": (),
    "leftstep": (),
    "rightstep": (),
}
