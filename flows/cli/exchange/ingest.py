"""The command ``ingest``: import scores of other programs or measured values as a run of the store."""

from __future__ import annotations

from dataclasses import asdict
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molbuffer.flows.cli.common.notes import note
from molbuffer.flows.cli.common.options import ColumnOption, JsonOption, StoreOption
from molbuffer.flows.cli.common.output import as_json, progress_of, write_text
from molbuffer.flows.cli.common.run_notes import told_how_to_go_on
from molbuffer.flows.errors import UsageError

if TYPE_CHECKING:
    from molbuffer.exchange import IngestReceipt
    from molbuffer.scoring import Transform


def add_commands(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(
        epilog="Example: molbuffer ingest assay.csv --as csv --store lab --objective-name pic50 --low 4 --high 9"
    )(ingest)


def ingest(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The table: .csv, .tsv (each also .gz) or .parquet.")],
    store: StoreOption,
    form: Annotated[
        str,
        typer.Option(
            "--as",
            metavar="FORMAT",
            help="reinvent: the CSV of a staged learning; molscore: the scores.csv of MolScore; or csv: a table of an "
            "assay.",
        ),
    ],
    name: Annotated[
        str,
        typer.Option(
            "--objective-name", metavar="NAME", help="The name by which a configuration refers to the scores."
        ),
    ],
    column: ColumnOption = None,
    reward: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="The column of the scores; default: that of the format."),
    ] = None,
    low: Annotated[
        float | None, typer.Option(help="The score whose reward is 0; default: scores are rewards, from 0 to 1.")
    ] = None,
    high: Annotated[float | None, typer.Option(help="The score whose reward is 1; default: as for --low.")] = None,
    policy: Annotated[
        str,
        typer.Option(
            metavar="POLICY", help="The policy that will learn from the molecules: they are stored in its vocabulary."
        ),
    ] = "zinc-gru",
    json: JsonOption = False,
) -> None:
    """Import a log of REINVENT or MolScore, or the table of an assay, as a run whose scores can be trained on offline.

    The scores belong to the component imported:NAME, and are never used as values of another component. Rows that
    cannot be used are stored as rejected, with the reason. A file that is imported again adds nothing.
    """
    transform = _transform(low, high)
    from molbuffer.exchange import IngestPlan, ingest_file
    from molbuffer.lab import described_import
    from molbuffer.samplers import find_policy, load_policy
    from molbuffer.storage import SampleStore

    with told_how_to_go_on(store, resumable=False), SampleStore.open_or_create(store) as opened:
        plan = IngestPlan(
            form=form,
            name=name,
            policy=load_policy(find_policy(policy, opened)),
            column=column,
            reward=reward,
            transform=transform,
        )
        with progress_of("importing", None) as report:
            receipt = ingest_file(opened, file, plan, described_import, report)
    _report(receipt, name, transform, json)


def _transform(low: float | None, high: float | None) -> Transform:
    """Return the transform of scores to rewards from ``low``, which maps to 0, to ``high``, which maps to 1.

    It is linear if ``low < high``, and a reverse sigmoid otherwise, for scores of which lower ones are better.
    """
    if (low is None) != (high is None):
        raise UsageError("expected --low and --high together, the scores whose rewards are 0 and 1, got only one")
    from molbuffer.scoring import TRANSFORMS, Identity

    if low is None or high is None:
        return Identity()
    if low == high:
        raise UsageError(f"expected different scores for --low and --high, got {low:g} for both")
    if low < high:
        made: Transform = TRANSFORMS["linear"](low=low, high=high)
        return made
    falling: Transform = TRANSFORMS["reverse_sigmoid"](low=high, high=low)
    return falling


def _report(receipt: IngestReceipt, name: str, transform: Transform, json: bool) -> None:
    if json:
        write_text(as_json(asdict(receipt)))
    rejected = ", ".join(f"{reason} {count}" for reason, count in receipt.rejected.items())
    if receipt.repeated:
        note(
            f"run {receipt.run_id[:8]} has this file already: nothing was added ({receipt.kept} rows can be trained on)"
        )
    else:
        note(
            f"run {receipt.run_id[:8]}: {receipt.kept} of {receipt.rows} rows can be trained on, "
            f"{receipt.scores} scores are new" + (f"; rejected: {rejected}" if rejected else "")
        )
    if receipt.contradictions:
        repeat = "1 row repeats" if receipt.contradictions == 1 else f"{receipt.contradictions} rows repeat"
        note(f"{repeat} a molecule with another score, as a diversity filter produces them: the first score is used")
    if not json:
        write_text(_objective(name, transform))


def _objective(name: str, transform: Transform) -> str:
    """Return the tables of a configuration that trains on the scores."""
    # Strings and numbers of JSON are valid in TOML.
    lines = ["[objective]", "[[objective.components]]", 'kind = "imported"', f"scores = {dumps(name)}"]
    settings = transform.settings()
    if settings["kind"] != "identity":
        keys = ", ".join(f"{key} = {dumps(value)}" for key, value in settings.items())
        lines.append(f"transform = {{ {keys} }}")
    return "\n".join(lines)
