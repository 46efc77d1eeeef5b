"""The facts of a run as rows and texts of limited size, which a Prefect server stores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from molbuffer.pages import BestMolecule, Funnel, RunFacts
from molbuffer.storage import BuildReceipt

MOST_BUILDS = 50
"""The most builds of the table of builds: the newest."""
MOST_SAMPLERS = 50
"""The most rows of the table of samplers, which has one row for each sampler and event."""
MOST_TEXT = 300
"""The most characters of a molecule or an error."""
_DIGITS = 3
_OF_SAMPLERS = {
    "sampler": "sampler",
    "event": "event",
    "drawn": "drawn",
    "parseable": "molecules",
    "kept": "kept",
    "valid": "valid",
    "diversity": "diversity",
    "new": "new",
    "rewards": "mean reward",
    "seconds": "seconds",
}
"""The columns of the table of samplers, by the columns of ``sampler_totals``."""


def builds_table(receipts: Sequence[BuildReceipt]) -> list[dict[str, Any]]:
    """Return a row for each of the newest builds of a run, the newest first."""
    newest = sorted(receipts, key=lambda each: (each.iteration, each.snapshot), reverse=True)[:MOST_BUILDS]
    return [
        {
            "iteration": each.iteration,
            "sampler": _short(each.sampler),
            "event": each.event.value,
            "drawn": each.drawn,
            "molecules": each.parseable,
            "kept": each.kept,
            "mean reward": _number(each.mean_reward),
        }
        for each in newest
    ]


def samplers_table(totals: pl.DataFrame) -> list[dict[str, Any]]:
    """Return a row for each sampler and event of a run."""
    rows = totals.select(list(_OF_SAMPLERS)).rename(_OF_SAMPLERS).head(MOST_SAMPLERS).to_dicts()
    return [{name: _number(value) for name, value in row.items()} for row in rows]


def funnel_table(funnel: Funnel) -> list[dict[str, Any]]:
    """Return the number and share of rows for each step of a run: drawn, refused, kept, scored and so on."""
    refused = [(f"refused by {_short(name)}", rows) for name, rows in funnel.refused.items()]
    steps = [
        ("drawn", funnel.drawn),
        ("no molecule", funnel.drawn - funnel.parseable),
        *refused,
        ("kept", funnel.kept),
        ("scored", funnel.computed),
        ("scores from the store", funnel.rewarded - funnel.computed),
        ("score failed", funnel.failed),
        *([("score pending", funnel.pending)] if funnel.pending else []),
    ]
    whole = max(funnel.drawn, 1)
    return [{"what became of the rows": name, "rows": rows, "share": f"{rows / whole:.1%}"} for name, rows in steps]


def steps_line(run: RunFacts) -> str:
    """Return the number of iterations of a run that draws nothing, as a line of a log."""
    return f"{run.iterations} iterations on stored rows; this run draws nothing"


def funnel_line(funnel: Funnel) -> str:
    """Return the funnel as a line of a log."""
    if not funnel.drawn:
        return "nothing was drawn"
    refused = ", ".join(f"{rows} by {_short(name)}" for name, rows in funnel.refused.items()) or "none by filters"
    pending = f", {funnel.pending} pending" if funnel.pending else ""
    return (
        f"drawn {funnel.drawn}, of which {funnel.drawn - funnel.parseable} are no molecules; refused {refused}; kept "
        f"{funnel.kept}: {funnel.computed} scored, {funnel.rewarded - funnel.computed} with scores from the store, "
        f"{funnel.failed} failed{pending}"
    )


def best_line(best: Sequence[BestMolecule]) -> str:
    """Return the best molecule so far as a line of a log."""
    if not best:
        return "no molecule of this run has a reward"
    first = best[0]
    return f"best so far: {first.reward:.3f}  {_short(first.smiles)}  (iteration {first.iteration}, {first.sampler})"


def molecules_text(best: Sequence[BestMolecule], pictures: Sequence[str | None]) -> str:
    """Return a table in Markdown of the best molecules, with their pictures.

    Args:
        best: the molecules, the best first.
        pictures: the address of the picture of each, as ``data:``; None for one without.
    """
    names = [value.component for value in best[0].components] if best else []
    # The reward stands before the picture, since a narrow page cuts off what stands behind it.
    head = ["", "reward", "molecule", *map(_cell, names), "first drawn"]
    lines = [head, ["---"] * len(head)]
    for number, (each, picture) in enumerate(zip(best, pictures, strict=True), 1):
        # The alternative text of the picture is a number and not the SMILES, whose brackets would end that text.
        shown = f"![molecule {number}]({picture}) " if picture else ""
        values = [_pair(value.raw, value.transformed) for value in each.components]
        where = f"iteration {each.iteration}, {_cell(each.sampler)}"
        lines.append([str(number), f"{each.reward:.3f}", f"{shown}{_code(each.smiles)}", *values, where])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _pair(raw: float | None, transformed: float | None) -> str:
    if raw is None:
        return "–"
    if transformed is None or transformed == raw:
        return _decimal(raw)
    return f"{_decimal(raw)} → {transformed:.3f}"


def _decimal(value: float) -> str:
    """Return a number with three digits after the point, or with none where it is large."""
    if abs(value) >= 10_000:
        return f"{value:,.0f}"
    return f"{value:.3f}" if abs(value) >= 0.0005 or value == 0 else f"{value:.1e}"


def _number(value: Any) -> Any:
    """Return a value of a table: floats are rounded, and a missing value is a dash."""
    if value is None:
        return "–"
    return round(value, _DIGITS) if isinstance(value, float) else _short(value) if isinstance(value, str) else value


def _short(text: str) -> str:
    """Return a text as one line of at most ``MOST_TEXT`` characters: names in a store may have any length."""
    line = " ".join(text.split())
    return line if len(line) <= MOST_TEXT else f"{line[: MOST_TEXT - 1]}…"


def _cell(text: str) -> str:
    """Return a text of the store as a cell of a table in Markdown: nothing in it is markup."""
    return "".join(f"\\{each}" if each in "\\`*_{}[]<>()#+-.!|~&" else each for each in _short(text))


def _code(smiles: str) -> str:
    """Return a molecule as code in a cell: brackets and backslashes are part of it, and SMILES has no backtick."""
    return f"`{_short(smiles).replace('`', ' ').replace('|', ' ')}`"
