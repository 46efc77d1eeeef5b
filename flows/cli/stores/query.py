"""Commands that read a store: ``query``, ``runs``, ``top``, ``policies``, ``checkpoints``. None can change it."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molbuffer.flows.cli.common.formats import Format, chosen_format
from molbuffer.flows.cli.common.notes import note
from molbuffer.flows.cli.common.options import FormatOption, JsonOption, OutOption, SnapshotOption, StoreOption
from molbuffer.flows.cli.common.output import write_frame, write_text
from molbuffer.flows.errors import UsageError

if TYPE_CHECKING:
    import polars

    from molbuffer.storage import SampleStore


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(
        epilog='Example: molbuffer query --store lab "SELECT sampler, avg(reward) FROM sample_history GROUP BY ALL"'
    )(query)
    app.command(epilog="Example: molbuffer runs --store lab")(runs)
    app.command(epilog="Example: molbuffer top --store lab -n 50 --out best.sdf")(top)
    app.command(epilog="Example: molbuffer policies --store lab")(policies)
    app.command(epilog="Example: molbuffer checkpoints --store lab")(checkpoints)


def query(
    store: StoreOption,
    sql: Annotated[
        str | None, typer.Argument(metavar="SQL", help='One SELECT statement; "-" reads it from standard input.')
    ] = None,
    form: FormatOption = None,
    out: OutOption = None,
    snapshot: SnapshotOption = None,
    param: Annotated[
        list[str] | None,
        typer.Option(
            metavar="VALUE",
            help="The values of the ? in the statement, in their order, or NAME=VALUE for each $NAME; a value that is "
            "no number is a text; may be repeated.",
        ),
    ] = None,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="Stop the query after this time.")] = 300.0,
    attach: Annotated[
        bool, typer.Option("--attach", help="Print the statements that attach the store in your own DuckDB shell.")
    ] = False,
) -> None:
    """Query the sample history in SQL. Tables to start with: sample_history, top_molecules, runs, metrics."""
    if attach != (sql is None):
        raise UsageError("expected either SQL or --attach")
    if sql is None:
        if param:
            raise UsageError("--param needs an SQL statement, got --attach: leave one of the two out")
        write_text(_attach_sql(store), out)
        return
    written = chosen_format(form, out)
    text = sys.stdin.read() if sql == "-" else sql
    write_frame(_rows(store, text, snapshot, timeout, _parameters(text, param or [])), written, out, exact=True)


def runs(store: StoreOption, json: JsonOption = False) -> None:
    """List the runs of a store, the newest first; a run whose process has died is shown as lost."""
    from molbuffer.lab import list_runs
    from molbuffer.storage import SampleStore

    with SampleStore.open(store, read_only=True) as opened:
        listed = list_runs(opened)
    write_frame(listed, Format.JSON if json else Format.TABLE)


def top(
    store: StoreOption,
    n: Annotated[int, typer.Option("-n", min=1, help="The number of molecules.")] = 10,
    run: Annotated[
        str | None,
        typer.Option(help="List only molecules of this run, by its name or the start of its id; default: all."),
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="List only rewards of this objective, given by the start of its sha256 or of a run_id, or by the name "
            "of a run, including rewards of samples of other runs; default: each objective separately.",
        ),
    ] = None,
    form: FormatOption = None,
    out: OutOption = None,
    json: JsonOption = False,
) -> None:
    """List the best molecules of a store, each once, with the values of their components, their runs and samplers.

    Rewards of two objectives cannot be compared, so the best molecules of each are listed separately. A component has
    the columns raw_NAME and transformed_NAME; in a table it has one column, with the transformed value in brackets.
    """
    if json and (form is not None or out is not None):
        raise UsageError("--json means --format json on standard output: leave it out, or leave --format and --out out")
    written = Format.JSON if json else chosen_format(form, out)
    from molbuffer.storage import SampleStore

    with SampleStore.open(store, read_only=True) as opened:
        named = None if objective is None else known_objective(opened, objective)
        best = opened.best_molecules(n, run=run, objective_sha256=named)
    if (objectives := best["objective_sha256"].n_unique()) > 1:
        note(f"rewards of {objectives} objectives, which cannot be compared; --objective NAME lists those of one")
    write_frame(_for_people(best) if written is Format.TABLE else best, written, out)


def _for_people(best: polars.DataFrame) -> polars.DataFrame:
    """Return the molecules with one column for each component, and with the start of the objective's sha256."""
    import polars

    names = [name.removeprefix("raw_") for name in best.columns if name.startswith("raw_")]
    values = [
        polars.Series(name, [_shown_value(*pair) for pair in best.select(f"raw_{name}", f"transformed_{name}").rows()])
        for name in names
    ]
    of_components = [f"{kind}_{name}" for name in names for kind in ("raw", "transformed")]
    following = best.drop("smiles", "reward", *of_components).with_columns(best["objective_sha256"].str.head(_SHOWN))
    return polars.DataFrame([best["smiles"], best["reward"], *values, *following.get_columns()])


def _shown_value(raw: float | None, transformed: float | None) -> str | None:
    if raw is None or transformed is None or raw == transformed:
        return None if raw is None else f"{raw:.4g}"
    return f"{raw:.4g} ({transformed:.3g})"


def known_objective(store: SampleStore, name: str) -> str:
    """Return the sha256 of the objective that a name stands for: a start of the sha256, a run_id, or a run's name.

    Raises:
        UsageError: no objective, or more than one, has the name.
    """
    found = store.read_arrow(_OBJECTIVES, parameters=[name, name, name])["objective_sha256"].to_pylist()
    if len(found) != 1:
        what = ", ".join(sha256[:_SHOWN] for sha256 in found) or "none"
        raise UsageError(
            f"--objective {name!r} must be the start of the sha256 of one objective, or name runs of one, got {what}; "
            "`molbuffer top` without --objective lists all"
        )
    return str(found[0])


_SHOWN = 12


def policies(
    store: StoreOption,
    every: Annotated[
        bool, typer.Option("--all", help="Also list versions that drew live samples and whose weights were not kept.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """List the policies of a store, the newest first; `molbuffer sample` draws from a policy by its sha256."""
    write_frame(_rows(store, _POLICIES.format(all=every)), Format.JSON if json else Format.TABLE)


def checkpoints(
    store: StoreOption,
    run: Annotated[
        str | None,
        typer.Option(metavar="RUN_ID", help="Only checkpoints of this run, by the start of its id; default: all runs."),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Also list removed checkpoints; a run removes older ones while it goes on.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """List the checkpoints that a store keeps, the newest first; a run is resumed from its newest one."""
    import polars

    from molbuffer.storage import SampleStore

    with SampleStore.open(store, read_only=True) as opened:
        found = opened.checkpoints(None if run is None else opened.run(run).run_id)
    rows = [asdict(each) for each in found if every or each.kept]
    kinds: dict[str, Any] = {"run_id": polars.String, "iteration": polars.Int64, "kept": polars.Boolean}
    columns = {**kinds, "created": polars.Datetime("us")}
    write_frame(polars.DataFrame(rows, schema=columns), Format.JSON if json else Format.TABLE)


_OBJECTIVES = """
SELECT DISTINCT objective_sha256 FROM {rewards}
WHERE starts_with(objective_sha256, ?) OR objective_sha256 IN (
    SELECT objective_sha256 FROM {runs} WHERE name = ? OR starts_with(run_id, ?)
)
ORDER BY ALL
"""

_POLICIES = """
SELECT l.sha256, l.kind, l.weights_kept, l.parent_sha256, l.run_id, r.name AS run_name, l.iteration, l.created
FROM lineage AS l LEFT JOIN runs AS r ON r.run_id = l.run_id
WHERE l.weights_kept OR {all}
ORDER BY l.created DESC, l.sha256
"""


def _attach_sql(store: Path) -> str:
    from molbuffer.storage import SampleStore

    with SampleStore.open(store, read_only=True) as opened:
        return opened.attach_sql()


def _rows(
    store: Path,
    sql: str,
    snapshot: int | None = None,
    timeout_seconds: float = 300.0,
    parameters: Sequence[Any] | Mapping[str, Any] = (),
) -> polars.DataFrame:
    from molbuffer.storage import SampleStore, prepare_query_process

    prepare_query_process()
    with SampleStore.open(store, read_only=True) as opened:
        return opened.query(sql, parameters, snapshot=snapshot, timeout_seconds=timeout_seconds)


def _parameters(sql: str, given: Sequence[str]) -> list[Any] | dict[str, Any]:
    """Return the values of a statement: by name if it has ``$NAME`` for each of the given names, else in order."""
    parts = [text.partition("=") for text in given]
    if given and all(found and re.search(rf"\${re.escape(name)}\b", sql) for name, found, _ in parts):
        return {name: _number_or_text(value) for name, _, value in parts}
    return [_number_or_text(text) for text in given]


def _number_or_text(text: str) -> int | float | str:
    """Return a text as a number if it is one in plain decimal notation; "007", "nan" and "1_000" stay texts."""
    if not re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?", text):
        return text
    return int(text) if text.lstrip("-").isdigit() else float(text)
