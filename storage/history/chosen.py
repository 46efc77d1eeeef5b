"""Calls of selections, which a plugin may have written, with a check of the rows that they choose."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from molbuffer.kinds import calling, shown, wrong_result
from molbuffer.storage.history.selections import Positions, SelectableRows, Selection


def available_rows(selection: Selection, rows: SelectableRows, delivered: NDArray[np.integer]) -> int:
    """Return the size of the largest batch that a selection can draw.

    Raises:
        PluginError: the selection does not return a number from 0 to the number of rows.
    """
    with calling("selection", selection, f"how many of {len(rows)} rows are available"):
        found = selection.available(rows, delivered)
    if not isinstance(found, (int, np.integer)) or isinstance(found, bool) or not 0 <= found <= len(rows):
        raise wrong_result(
            "selection", selection, f"{shown(found)} as available", f"a whole number of rows, from 0 to {len(rows)}"
        )
    return int(found)


def chosen_rows(
    selection: Selection, rows: SelectableRows, n: int, rng: np.random.Generator, delivered: NDArray[np.integer]
) -> Positions:
    """Return the positions of n rows that a selection chooses, int64 [m], with m < n if it has fewer available.

    Args:
        selection: the selection.
        rows: the rows to choose from.
        n: the wanted number of rows.
        rng: the generator.
        delivered: how often each row was delivered to the run, int [rows].

    Raises:
        PluginError: the selection does not return the positions of m different rows.
    """
    wanted = min(n, available_rows(selection, rows, delivered))
    with calling("selection", selection, f"to draw {n} of {len(rows)} rows"):
        found = selection.draw(rows, n, rng, delivered)
    expected = (
        f"the positions of {wanted} different rows, whole numbers from 0 to {len(rows) - 1}: n of them, or as many as "
        "it says are available"
    )
    try:
        positions = np.asarray(found)
    except ValueError as error:
        raise wrong_result("selection", selection, shown(found), expected) from error
    if positions.size == 0 and wanted == 0:
        return np.zeros(0, np.int64)
    if positions.dtype.kind not in "iu" or positions.ndim != 1:
        raise wrong_result(
            "selection", selection, f"{shown(found)} ({positions.dtype} {list(positions.shape)})", expected
        )
    if len(positions) != wanted:
        raise wrong_result("selection", selection, f"{len(positions)} positions", expected)
    if positions.min() < 0 or positions.max() >= len(rows):
        outside = positions[(positions < 0) | (positions >= len(rows))][0]
        raise wrong_result("selection", selection, f"the position {outside}", expected)
    if len(np.unique(positions)) < len(positions):
        raise wrong_result("selection", selection, "a position twice", expected)
    return positions.astype(np.int64, copy=False)
