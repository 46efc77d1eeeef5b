"""The picture of a run that ``molbuffer watch`` draws in a terminal of 80 columns or more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from molbuffer.flows.cli.common.notes import printable
from molbuffer.flows.cli.look.watch_facts import AT_WORK, WatchFacts, seconds_between

if TYPE_CHECKING:
    from molbuffer.pages import Funnel, RunFacts

BLOCKS, PLAIN = " ▁▂▃▄▅▆▇█", " .:-=+*#@"
"""The characters for the levels of a curve, for terminals with block characters and for those with ASCII only."""
NARROWEST, WIDE = 40, 120
WIDEST_STEP = 4
"""The most columns that one value of a curve takes."""
_LABELS = {"reward_live": "live", "reward_buffer": "buffer", "reward": "batch", "best": "best"}
_COLOURS = {"reward_live": "cyan", "reward_buffer": "magenta", "reward": "blue", "best": "green"}
_STATUS = {"finished": "green", "failed": "red", "lost": "red", "interrupted": "yellow"}
_SHORT = 8


def frame(facts: WatchFacts, width: int, height: int, now: datetime, *, ascii_only: bool = False) -> RenderableType:
    """Return the picture of a run.

    Args:
        facts: the facts to show.
        width: the number of columns of the terminal.
        height: the number of rows of the terminal, which the picture fills and does not exceed.
        now: the present time, in UTC.
        ascii_only: use no character beyond ASCII.
    """
    width = max(width, NARROWEST)
    head = _head(facts, now)
    curves = _curves(facts, width - 4, ascii_only)
    around = box.ASCII if ascii_only else box.ROUNDED
    wide = width // 2 - 6 if width >= WIDE else width - 6
    steps = _funnel(facts.funnel, wide, ascii_only, offline=facts.run.kind == "offline")
    # The table of molecules takes the rest of the height. A frame takes two rows, and its title none.
    if width >= WIDE:
        half = Table.grid(expand=True, padding=0)
        half.add_column(ratio=1)
        half.add_column(ratio=1)
        half.add_row(
            _panel("learning", _curves(facts, width // 2 - 4, ascii_only), around), _panel("rows", steps, around)
        )
        middle: list[RenderableType] = [half]
        used = max(len(curves), len(steps)) + 2
    else:
        middle = [_panel("learning", curves, around), _panel("rows", steps, around)]
        used = len(curves) + len(steps) + 4
    rows = max(1, height - len(head) - used - 4)
    best = _best(facts, rows, width - 4)
    foot = _foot(facts)
    return Group(*head, *middle, Panel(best, title="best molecules", box=around, title_align="left"), foot)


def _panel(title: str, lines: Sequence[Text], around: box.Box) -> Panel:
    return Panel(Group(*lines), title=title, box=around, title_align="left")


def _head(facts: WatchFacts, now: datetime) -> list[Text]:
    """Return two lines with the name, status and progress of the run."""
    run = facts.run
    status = run.status or "unknown"
    first = Text.assemble(
        (printable(run.name), "bold"),
        f" {run.run_id[:_SHORT]} {run.kind} ",
        (status, _STATUS.get(status, "cyan")),
        no_wrap=True,
        overflow="ellipsis",
    )
    if run.detail and status not in AT_WORK:
        first.append(printable(f": {run.detail}"))
    wanted = "" if facts.wanted is None else f"/{facts.wanted}"
    parts = [f"iteration {facts.iterations}{wanted}"] if facts.iterations or facts.wanted else []
    if facts.calls is not None:
        budget = f"/{run.budget}" if run.budget else ""
        parts.append(f"oracle calls {facts.calls.calls}{budget}")
    if facts.seconds:
        parts.append(f"{60 / facts.seconds:.1f} iterations/min")
    if facts.seconds_left is not None:
        parts.append(f"{duration(facts.seconds_left)} left")
    ended = now if status in AT_WORK else run.changed
    parts.append(f"{duration(seconds_between(run.started, ended))} {'so far' if status in AT_WORK else 'in all'}")
    second = Text(" · ".join(parts), style="dim" if status not in AT_WORK else "", no_wrap=True, overflow="ellipsis")
    return [first, second]


def _curves(facts: WatchFacts, width: int, ascii_only: bool) -> list[Text]:
    """Return a line for each curve: its name, its shape, and its last value."""
    found = []
    cells = max(5, width - 20)
    for name, values in facts.curves.items():
        # The scale goes from 0 to the largest value of the curve, so that a mean that doubles from 0.1 is visible.
        shape = sparkline(values, cells, low=0.0, ascii_only=ascii_only)
        line = Text(f"{_LABELS[name]:<7}", no_wrap=True, overflow="crop")
        line.append(f"{shape:<{cells}}", style=_COLOURS[name])
        found.append(line.append(f" {values[-1]:.3f}"))
    if facts.losses:
        shape = sparkline(facts.losses, cells, ascii_only=ascii_only)
        line = Text(f"{'loss':<7}", no_wrap=True, overflow="crop")
        found.append(line.append(f"{shape:<{cells}}", style="yellow").append(f" {facts.losses[-1]:.4g}"))
    if facts.calls is not None and facts.calls.best is not None:
        text = (
            f"top 10 {facts.calls.top_10:.3f}, area under it {facts.calls.auc_top_10:.3f} of {facts.calls.budget} calls"
        )
        found.append(Text(text, style="dim", no_wrap=True, overflow="ellipsis"))
    return found or [Text("no metrics yet", style="dim")]


def sparkline(
    values: Sequence[float],
    width: int,
    *,
    low: float | None = None,
    high: float | None = None,
    ascii_only: bool = False,
) -> str:
    """Return a curve as a line of characters; a character is a mean if there are more values than columns.

    Args:
        values: the values; NaN and infinities become blanks.
        width: the number of columns.
        low: the value of the lowest level; None is the smallest of the values.
        high: the value of the highest level; None is the largest of the values.
        ascii_only: use no character beyond ASCII.
    """
    levels = PLAIN if ascii_only else BLOCKS
    cells = [_mean(values[len(values) * i // width : len(values) * (i + 1) // width]) for i in range(width)]
    if len(values) <= width:
        # Each of a few values takes several columns, since the first iterations would be hard to see otherwise.
        wide = min(WIDEST_STEP, width // max(1, len(values)))
        cells = [value if math.isfinite(value) else None for value in values for _ in range(wide)]
    there = [value for value in cells if value is not None]
    if not there:
        return ""
    least, most = min(there) if low is None else low, max(there) if high is None else high
    span = most - least

    def level(value: float | None) -> str:
        if value is None:
            return levels[0]
        share = (value - least) / span if span > 0 else 0.5
        return levels[1 + round(min(1.0, max(0.0, share)) * (len(levels) - 2))]

    return "".join(map(level, cells))


def _mean(values: Sequence[float]) -> float | None:
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else None


def _funnel(found: Funnel, width: int, ascii_only: bool, *, offline: bool) -> list[Text]:
    """Return a bar for each step from drawn to rewarded rows, and a line with the most frequent reasons of refusal."""
    if not found.drawn:
        return [Text("draws no rows: it learns from stored ones" if offline else "none drawn yet", style="dim")]
    steps = {"drawn": found.drawn, "molecules": found.parseable, "kept": found.kept, "rewarded": found.rewarded}
    cells = max(5, width - 24)
    lines = []
    for name, count in steps.items():
        share = count / found.drawn
        bar = ("#" if ascii_only else "█") * round(share * cells)
        line = Text(f"{name:<10}", no_wrap=True, overflow="crop").append(f"{bar:<{cells}}", style="cyan")
        lines.append(line.append(f" {count:>7} {share:>4.0%}"))
    reasons = [f"{name} {count}" for name, count in list(found.refused.items())[:3]]
    reasons += [f"{name} {count}" for name, count in (("failed", found.failed), ("pending", found.pending)) if count]
    if reasons:
        lines.append(Text(f"refused: {', '.join(reasons)}", style="dim", no_wrap=True, overflow="ellipsis"))
    return lines


def _best(facts: WatchFacts, rows: int, width: int) -> RenderableType:
    if not facts.best:
        return Text("none: it draws no molecules" if facts.run.kind == "offline" else "none yet", style="dim")
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(justify="right", no_wrap=True, width=6)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column(justify="right", no_wrap=True, style="dim", max_width=22 if width < WIDE else 60)
    for each in facts.best[:rows]:
        where = f"{each.sampler} {each.iteration}"
        if width >= WIDE:
            values = (f"{part.component} {part.raw:.3g}" for part in each.components if part.raw is not None)
            where = f"{'  '.join(values)}  {where}"
        # A SMILES or the name of a sampler may contain brackets, which must not be read as markup.
        table.add_row(f"{each.reward:.3f}", Text(printable(each.smiles)), Text(printable(where)))
    return table


def _foot(facts: WatchFacts) -> Text:
    working = ", ".join(_place(run) for run in facts.working) or "no run is at work"
    text = printable(f"snapshot {facts.snapshot} · {working}")
    return Text(text, style="dim", no_wrap=True, overflow="ellipsis")


def _place(run: RunFacts) -> str:
    return f"{run.label} ({run.detail})" if run.detail else run.label


def duration(seconds: float) -> str:
    """Return a duration in a suitable unit, such as 40 s, 12 min, 3.5 h or 2.1 d."""
    for size, unit in ((86400.0, "d"), (3600.0, "h")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
