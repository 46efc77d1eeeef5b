"""The command ``compare``: compare runs in a table on the terminal."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molbuffer.flows.cli.common.archive_size import DEFAULT_MAX_SIZE, MaxSizeOption
from molbuffer.flows.cli.common.notes import note
from molbuffer.flows.cli.common.options import JsonOption, SnapshotOption
from molbuffer.flows.cli.common.output import as_json, table, write_text
from molbuffer.flows.cli.look.report import StoreOrArchive, looked_at
from molbuffer.flows.errors import UsageError

if TYPE_CHECKING:
    from molbuffer.pages import Comparison

MOST_DIFFERENCES = 40
MOST_CHARACTERS = 60


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN RUN", help="Two runs or more, each by its name or the start of its id."),
    ],
    store: StoreOrArchive,
    snapshot: SnapshotOption = None,
    max_size: MaxSizeOption = DEFAULT_MAX_SIZE,
    json: JsonOption = False,
) -> None:
    """Compare the results and the settings of runs; `report --run RUN --run RUN` shows the results as charts.

    A name that several runs have stands for all of them. Rewards are compared only if all runs have the same objective.
    """
    from molbuffer.pages import compare_runs, scope_of

    with looked_at(store, max_size) as opened:
        scope = scope_of(opened, runs, snapshot=snapshot)
        if len(scope.run_ids) < 2:
            raise UsageError(
                f"a comparison needs two runs or more, got {', '.join(runs)}, which is {len(scope.run_ids)}"
            )
        found = compare_runs(scope)
    if found.note:
        note(found.note)
    write_text(as_json(_json(found)) if json else _text(found))


def _json(found: Comparison) -> dict[str, Any]:
    named = [run.label for run in found.runs]
    fields = {name: value for name, value in asdict(found).items() if name != "runs"}
    return {"runs": named, "run_ids": [run.run_id for run in found.runs], **fields}


def _text(found: Comparison) -> str:
    columns = ["", *(run.label for run in found.runs)]
    lines = [table(columns, [[title, *map(_shown, values)] for title, values in found.rows.items()])]
    if found.differences:
        listed = list(found.differences.items())
        rows = [[key, *map(_shown, values)] for key, values in listed[:MOST_DIFFERENCES]]
        lines.append(table(["setting", *columns[1:]], rows))
        if len(listed) > MOST_DIFFERENCES:
            lines.append(f"… and {len(listed) - MOST_DIFFERENCES} further settings; --json has them all")
    else:
        lines.append("no setting of these runs differs")
    return "\n".join(lines)


def _shown(value: Any) -> Any:
    if isinstance(value, str) and len(value) > MOST_CHARACTERS:
        return f"{value[:MOST_CHARACTERS]}…"
    return value
