"""Checks of draws, since a sampler may be a class that is not molbuffer's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from molbuffer.kinds import calling, shown, wrong_result
from molbuffer.samplers.base import Draw, Recall, Sampler
from molbuffer.samplers.files import EpochPosition, EpochSampler
from molbuffer.storage import Rows

_EXPECTED = "a Draw of up to {n} rows, whose strings, rows and other fields have the same length"
_ALIGNED = ("stored", "source_smiles", "source_rows", "parents", "origins", "unchecked")


def draw_rows_of(sampler: Sampler, n: int, seed: int) -> Draw:
    """Return a draw of a sampler.

    Raises:
        PluginError: the sampler fails, or does not return a draw of up to n rows.
    """
    with calling("sampler", sampler, f"to draw {n} rows"):
        drawn = sampler.draw(n, seed)
    return _checked(sampler, drawn, n)


def draw_ahead_of(sampler: Any, n: int, seed: int, spare: int, spare_seed: int) -> tuple[Draw, Draw | None]:
    """Return a draw of a sampler, and spare rows for the next attempt; errors are those of ``draw_rows_of``."""
    with calling("sampler", sampler, f"to draw {n} rows"):
        drawn, more = sampler.draw_ahead(n, seed, spare, spare_seed)
    return _checked(sampler, drawn, n), None if more is None else _checked(sampler, more, spare)


def draw_rows_from(sampler: EpochSampler, position: EpochPosition, n: int, seed: int) -> Draw:
    """Return a draw of a sampler that continues its epoch; errors are those of ``draw_rows_of``."""
    with calling("sampler", sampler, f"to draw {n} rows"):
        drawn = sampler.draw_from(position, n, seed)
    return _checked(sampler, drawn, n)


def recall_rows(sampler: Sampler, n: int, seed: int) -> Recall | None:
    """Return the stored rows that a sampler recalls; None if it draws new rows.

    Raises:
        PluginError: the sampler fails, or returns something else.
    """
    with calling("sampler", sampler, f"to recall {n} rows"):
        recalled = sampler.recall(n, seed)
    if recalled is None:
        return None
    if not isinstance(recalled, Recall):
        raise wrong_result("sampler", sampler, shown(recalled), "a Recall, or None if it draws new rows")
    _checked(sampler, recalled.drawn, n)
    got = {"rows": len(recalled.drawn), "smiles": len(recalled.smiles), "ids": len(recalled.ids)}
    if len(set(got.values())) > 1:
        raise wrong_result("sampler", sampler, _counts(got), "equal numbers")
    return recalled


def _checked(sampler: object, drawn: object, n: int) -> Draw:
    expected = _EXPECTED.format(n=n)
    if not isinstance(drawn, Draw):
        raise wrong_result("sampler", sampler, shown(drawn), expected)
    if not isinstance(drawn.rows, Rows):
        raise wrong_result("sampler", sampler, f"{shown(drawn.rows)} as rows", "Rows, as encode_rows makes them")
    if isinstance(drawn.raw, str) or not isinstance(drawn.raw, Sequence):
        raise wrong_result("sampler", sampler, f"{shown(drawn.raw)} as strings", "a list of strings")
    strange = next((text for text in drawn.raw if not isinstance(text, str)), None)
    if not all(isinstance(text, str) for text in drawn.raw):
        raise wrong_result("sampler", sampler, f"{shown(strange)} among its strings", "strings alone")
    fields = {name: getattr(drawn, name) for name in _ALIGNED}
    got = {"strings": len(drawn.raw), "rows": len(drawn.rows)}
    got |= {name: len(value) for name, value in fields.items() if value is not None}
    if len(set(got.values())) > 1:
        raise wrong_result("sampler", sampler, _counts(got), expected)
    if len(drawn) > n:
        raise wrong_result("sampler", sampler, f"{len(drawn)} rows", expected)
    return drawn


def _counts(got: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in got.items())
