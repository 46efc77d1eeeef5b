"""The command ``log``: write what a logger does not have yet of runs, from the store."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from molbuffer.flows.cli.common.notes import note
from molbuffer.flows.cli.common.options import StoreOption
from molbuffer.flows.errors import UsageError

if TYPE_CHECKING:
    from molbuffer.exchange import RunLogger
    from molbuffer.flows.settings import LoggingSettings
    from molbuffer.storage import SampleStore


def add_commands(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(epilog="Example: molbuffer log --store lab --to tensorboard --out runs --run 3fa9c1")(log)


def log(
    store: StoreOption,
    to: Annotated[
        str, typer.Option("--to", metavar="KIND", help="The logger: tensorboard, mlflow, or another one of the run.")
    ],
    out: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE",
            help="The folder of TensorBoard, or the address of MLflow; default: that of the run's configuration.",
        ),
    ] = None,
    run: Annotated[
        list[str] | None,
        typer.Option(
            "--run", metavar="RUN_ID", help="Only this run, by the start of its id; may be repeated; default: all runs."
        ),
    ] = None,
    pictures_every: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="The least number of iterations between two pictures of the best molecules, 0 for no pictures; "
            "default: that of the run's configuration.",
        ),
    ] = None,
) -> None:
    """Write the metrics and pictures of runs that TensorBoard, MLflow or another logger does not have yet.

    The result is the same as if the logger had been on during the runs. Nothing is written twice.
    """
    from molbuffer.exchange import PICTURES_EVERY, fill_log, shown_logger
    from molbuffer.storage import SampleStore

    with SampleStore.open(store, read_only=True) as opened:
        found = _runs(opened, run or [])
        if not found:
            note(f"{store} has no run yet: there is nothing to log")
        for run_id in found:
            settings = _settings(opened, run_id)
            every = PICTURES_EVERY if settings is None else settings.pictures_every
            logger = _logger(to, out, settings, run_id)
            written = fill_log(opened, run_id, logger, every if pictures_every is None else pictures_every)
            note(f"run {run_id[:8]}: {written} points and pictures written to {shown_logger(logger)[1] or to}")


def _runs(store: SampleStore, names: list[str]) -> list[str]:
    if names:
        return [store.run(name).run_id for name in names]
    return [str(run_id) for run_id in store.query("SELECT run_id FROM runs ORDER BY created, run_id")["run_id"]]


def _settings(store: SampleStore, run_id: str) -> LoggingSettings | None:
    """Return the table [logging] of a run; a run from Python has none."""
    # Only this table is read, since other objects that the configuration names may no longer exist.
    table = json.loads(store.run(run_id).config).get("logging")
    if table is None:
        return None
    from molbuffer.flows.settings import LoggingSettings

    return LoggingSettings.model_validate_json(json.dumps(table))


def _logger(kind: str, place: str | None, settings: LoggingSettings | None, run_id: str) -> RunLogger:
    """Return the logger of a kind: one that writes to ``place``, or else the one in the run's configuration."""
    from molbuffer.exchange import MLflow, TensorBoard, shown_logger

    if place is not None:
        if kind == "tensorboard":
            return TensorBoard(place)
        if kind == "mlflow":
            return MLflow(place)
        raise UsageError(f"--out applies only to tensorboard and mlflow, got --to {kind}: leave --out out")
    given = [] if settings is None else settings.loggers
    found = next((each for each in given if shown_logger(each)[0] == kind), None)
    if found is None:
        names = [shown_logger(each)[0] for each in given]
        if kind not in ("tensorboard", "mlflow"):
            known = ", ".join(dict.fromkeys(("tensorboard", "mlflow", *names)))
            raise UsageError(f"--to {kind}: there is no logger of this name; expected one of {known}")
        configured = f"only {', '.join(names)}" if names else "no logger"
        raise UsageError(
            f"run {run_id[:8]} has {configured} in [logging] of its configuration: add --out PLACE, to which {kind} "
            "writes"
        )
    return found
