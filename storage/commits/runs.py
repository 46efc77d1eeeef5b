"""The start, resumption and end of runs.

A run's row in ``runs`` is never changed. Each event of a run is a row in ``run_events``, and the newest event is the
status of the run. A process that was killed leaves no such row: the status of its run stays ``started`` or ``resumed``,
and the detail of this row names the process, which shows whether it still exists (``shown_event``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from molbuffer.storage.catalog import Catalog, ReadableCatalog, Transaction
from molbuffer.storage.commits import tables
from molbuffer.storage.commits.processes import Process
from molbuffer.storage.errors import FileDamagedError, RunConflictError, UnknownRunError
from molbuffer.storage.files import Place, entries, file_sha256
from molbuffer.storage.layout import Layout
from molbuffer.storage.records import (
    BucketedMolecule,
    Consumed,
    ObjectiveDefinition,
    Run,
    RunKind,
    RunStatus,
    now,
)
from molbuffer.storage.stored import ListedCheckpoint, StoredCheckpoint

LOST = "lost"
"""The status of a run whose process has ended without recording it; it is determined when shown, never recorded."""
_AT_WORK = (RunStatus.STARTED, RunStatus.RESUMED)


AcceptConfig = Callable[[str, str], bool]
"""A function of the old and the new configuration of a run that continues with another configuration.

It returns whether the difference is recorded, and raises an error if the run cannot continue with the new one.
"""


def start_run(catalog: Catalog, run: Run, accept: AcceptConfig | None = None) -> RunStatus:
    """Record that a run starts, or starts again, as ``SampleStore.start_run`` does.

    Raises:
        RunConflictError: the run id is known with another objective, kind, seed or parent, or with another
            configuration while ``accept`` is None.
    """
    wanted = {
        "kind": run.kind.value,
        "seed": run.seed,
        "objective_sha256": run.objective_sha256,
        "parent_run_id": run.parent_run_id,
    }
    process = Process.current().to_json()

    def start(transaction: Transaction) -> RunStatus:
        known = transaction.read("SELECT * FROM {runs} WHERE run_id = ?", [run.run_id]).to_pylist()
        if not known:
            transaction.insert("runs", tables.run_row(run, now()))
            _insert_objective(transaction, run.objective_sha256, run.definition)
            _insert_event(transaction, run.run_id, RunStatus.STARTED, process)
            return RunStatus.STARTED
        config = _newest_config(transaction, known[0])
        different = [name for name in wanted if wanted[name] != known[0][name]]
        if config != run.config and accept is None:
            different.insert(0, "config_sha256")
        if different:
            # The configuration is the same: the user has changed no key, so that the message says what can change.
            why = " (a scoring function's source or a library has changed)" if different == ["objective_sha256"] else ""
            raise RunConflictError(
                f"run {run.run_id} is in the store with another {', '.join(different)}{why}; resume it with the same "
                "values, or use a new id"
            )
        if config != run.config and accept is not None and accept(config, run.config):
            _insert_event(transaction, run.run_id, RunStatus.RECONFIGURED, run.config)
        _insert_objective(transaction, run.objective_sha256, run.definition)
        _insert_event(transaction, run.run_id, RunStatus.RESUMED, process)
        return RunStatus.RESUMED

    return catalog.transact(run.user or "molbuffer", f"run {run.name}", {"runs": [run.run_id]}, start)[0]


def record_objective(catalog: Catalog, sha256: str, definition: ObjectiveDefinition) -> None:
    """Record the parts of an objective, as ``SampleStore.record_objective`` does."""
    said, extra = f"objective {sha256[:12]}", {"objective": sha256}
    catalog.transact("molbuffer", said, extra, lambda t: _insert_objective(t, sha256, definition))


def _insert_objective(transaction: Transaction, sha256: str | None, definition: ObjectiveDefinition | None) -> None:
    """Add the components of an objective, unless they are stored already for any run."""
    if sha256 is None or definition is None:
        return
    sql = "SELECT count(*) AS n FROM {objectives} WHERE objective_sha256 = ?"
    if not transaction.read(sql, [sha256])["n"][0].as_py():
        transaction.insert("objectives", tables.objective_rows(sha256, definition, now()))


def finish_run(catalog: Catalog, run: Run, status: RunStatus, detail: str | None) -> None:
    """Record how a started run ended."""
    _record_end(catalog, run.run_id, run.name, status, detail)


def record_given(catalog: Catalog, run: Run, given: str) -> None:
    """Record the objects that a run was given, as ``SampleStore.record_given`` does."""
    _record_event(catalog, run.run_id, f"run {run.name} is given a build or a training", RunStatus.GIVEN, given)


def given_to(catalog: ReadableCatalog, run_id: str) -> list[str]:
    """Return the descriptions of the objects that a run was given, as JSON texts, the oldest first."""
    sql = "SELECT detail FROM {run_events} WHERE run_id = ? AND status = ? ORDER BY created"
    return [str(each) for each in catalog.read(sql, parameters=[run_id, RunStatus.GIVEN.value])["detail"].to_pylist()]


def ending_of(error: BaseException) -> RunStatus:
    """Return the status of a run that ended with an error: INTERRUPTED if a signal caused the error, else FAILED."""
    cause: BaseException | None = error
    seen: set[int] = set()
    while cause is not None and id(cause) not in seen:
        # Signals are raised as exceptions that are no ``Exception``. DuckDB, and code that cleans up, raise their own
        # errors from them.
        if not isinstance(cause, (Exception, SystemExit, GeneratorExit)):
            return RunStatus.INTERRUPTED
        seen.add(id(cause))
        cause = cause.__cause__ or cause.__context__
    return RunStatus.FAILED


def shown_event(status: str | None, detail: str | None) -> tuple[str | None, str | None]:
    """Return the status and detail of a run's newest event for people.

    The status is ``lost`` if the process that works on the run is known to have ended, and the detail of an active run
    names the process.
    """
    process = Process.parse(detail) if status in _AT_WORK else None
    if process is None:
        return status, detail
    return LOST if process.gone else status, f"process {process.pid} on {process.host}"


def interrupt_runs(catalog: Catalog) -> list[str]:
    """Record the unfinished runs of this process as interrupted, as ``SampleStore.interrupt_runs`` does."""
    found = catalog.read(
        """SELECT e.run_id, arg_max(e.status, e.created) AS status, any_value(r.name) AS name
        FROM {run_events} AS e JOIN {runs} AS r USING (run_id) WHERE e.status <> 'given' GROUP BY e.run_id
        HAVING arg_max(e.detail, e.created) FILTER (e.status IN ('started', 'resumed')) = ?
        ORDER BY max(e.created) FILTER (e.status IN ('started', 'resumed'))""",
        parameters=[Process.current().to_json()],
    ).to_pylist()
    for row in found:
        if row["status"] in _AT_WORK:
            _record_end(catalog, row["run_id"], row["name"], RunStatus.INTERRUPTED, None)
    return [row["run_id"] for row in found if row["status"] in (*_AT_WORK, RunStatus.INTERRUPTED)]


def find_run(catalog: ReadableCatalog, store: Path, run_id: str) -> Run:
    """Return the only run whose id is, or starts with, ``run_id``.

    Args:
        catalog: the tables of the store.
        store: the path of the store, which errors name.
        run_id: the id of the run, or its beginning.

    Raises:
        UnknownRunError: no run matches, or more than one.
    """
    sql = "SELECT * FROM {runs} WHERE starts_with(run_id, ?) ORDER BY run_id"
    found = catalog.read(sql, parameters=[run_id]).to_pylist()
    exact = [row for row in found if row["run_id"] == run_id]
    if len(exact or found) != 1 or not run_id:
        names = ", ".join(row["run_id"] for row in found[:5]) or "none"
        raise UnknownRunError(f"{run_id!r} must start the id of exactly one run in {store}, got {names}")
    row = (exact or found)[0]
    row["config"] = _newest_config(catalog, row)
    row |= {"kind": RunKind(row["kind"]), "libraries": json.loads(row["libraries"])}
    return Run(**{name: row[name] for name in Run.__dataclass_fields__ if name not in tables.OF_OTHER_TABLES})


def _newest_config(reader: ReadableCatalog | Transaction, row: Mapping[str, Any]) -> str:
    """Return the newest configuration of a run, given its row in ``runs``."""
    # With a LIMIT, DuckDB reads the table twice.
    sql = "SELECT detail FROM {run_events} WHERE run_id = ? AND status = ? ORDER BY created DESC"
    changed = reader.read(sql, parameters=[row["run_id"], RunStatus.RECONFIGURED.value])["detail"].to_pylist()
    return str(changed[0] if changed else row["config"])


def _record_end(catalog: Catalog, run_id: str, name: str, status: RunStatus, detail: str | None) -> None:
    _record_event(catalog, run_id, f"run {name} {status}", status, detail)


def _record_event(catalog: Catalog, run_id: str, said: str, status: RunStatus, detail: str | None) -> None:
    catalog.transact("molbuffer", said, {"runs": [run_id]}, lambda t: _insert_event(t, run_id, status, detail))


def _insert_event(transaction: Transaction, run_id: str, status: RunStatus, detail: str | None) -> None:
    """Add an event of a run with a later time than all of its events before, even if the clock was set back."""
    sql = "SELECT max(created) AS last FROM {run_events} WHERE run_id = ?"
    last = transaction.read(sql, [run_id])["last"][0].as_py()
    created = now() if last is None else max(now(), last + timedelta(microseconds=1))
    row = {"run_id": run_id, "status": status.value, "detail": detail, "created": created}
    transaction.insert("run_events", pa.Table.from_pylist([row]))


def latest_checkpoint(catalog: ReadableCatalog, layout: Layout, run_id: str) -> StoredCheckpoint | None:
    """Return a run's checkpoint of the highest iteration whose files exist; None if there is no checkpoint.

    Raises:
        FileDamagedError: one of its files is missing, or differs from the file that was written.
    """
    found = catalog.read(
        """SELECT run_id, iteration, folder, snapshot FROM {checkpoints} WHERE run_id = ?
        ORDER BY iteration DESC""",
        parameters=[run_id],
    ).to_pylist()
    for row in found:
        folder = layout.data / row["folder"]
        # The rows of checkpoints that a vacuum removed are still in the table.
        if folder.exists():
            _verify_checkpoint(catalog, folder, row["folder"])
            return StoredCheckpoint(**(row | {"folder": folder}))
    return None


def list_checkpoints(catalog: ReadableCatalog, layout: Layout, run_id: str | None = None) -> list[ListedCheckpoint]:
    """Return the checkpoints of a run, or of all runs, the newest first, and whether the files of each exist."""
    found = catalog.read(
        """SELECT run_id, iteration, folder, created FROM {checkpoints} WHERE ? IS NULL OR run_id = ?
        ORDER BY created DESC, run_id, iteration DESC""",
        parameters=[run_id, run_id],
    ).to_pylist()
    there = {
        layout.name_of(folder)
        for each in {row["run_id"] for row in found}
        for folder in entries(layout.checkpoints / each)
    }
    return [
        ListedCheckpoint(row["run_id"], row["iteration"], row["created"], kept=row["folder"] in there) for row in found
    ]


def _verify_checkpoint(catalog: ReadableCatalog, folder: Place, name: str) -> None:
    """Compare the files of a checkpoint with their checksums, since a changed weight would give another policy.

    Raises:
        FileDamagedError: a file is missing or differs from its checksum.
    """
    advice = f"restore it from a backup, or remove {folder} to resume from the previous checkpoint"
    for path, expected in catalog.recorded_checksums().items():
        if not path.startswith(f"{name}/"):
            continue
        file = folder / path.removeprefix(f"{name}/")
        try:
            sha256 = file_sha256(file)
        except OSError as error:
            raise FileDamagedError(file, f"it cannot be read ({error})", advice) from error
        if sha256 != expected:
            fault = f"its checksum is {sha256[:16]}…, it was written with {expected[:16]}…"
            raise FileDamagedError(file, fault, advice)


def bucketed_molecules(catalog: ReadableCatalog, run_id: str) -> list[BucketedMolecule]:
    """Return the molecules that the diversity memory of a run counts, as ``SampleStore.bucketed_molecules`` does."""
    found = catalog.read(
        "SELECT iteration, smiles, bucket FROM {bucketed_molecules} WHERE run_id = ? ORDER BY position",
        parameters=[run_id],
    )
    return [BucketedMolecule(**row) for row in found.to_pylist()]


def consumed_rows(catalog: ReadableCatalog, run_id: str, up_to_iteration: int | None) -> list[Consumed]:
    """Return the rows that were delivered to a training run, as ``SampleStore.consumed`` does."""
    found = catalog.read(
        """SELECT eaten.build_id, list(eaten."row" ORDER BY eaten."row") AS rows, eaten.iteration
        FROM {consumed} AS eaten LEFT JOIN {builds} AS builds USING (build_id)
        WHERE eaten.run_id = ? AND (? IS NULL OR eaten.iteration <= ?)
        GROUP BY ALL
        ORDER BY eaten.iteration, any_value(builds.iteration), any_value(builds.event),
            any_value(builds.sampler_order), any_value(builds.chunk), eaten.build_id""",
        parameters=[run_id, up_to_iteration, up_to_iteration],
    )
    return [Consumed(row["build_id"], tuple(row["rows"]), row["iteration"]) for row in found.to_pylist()]
