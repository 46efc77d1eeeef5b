"""Verifies the rows of the tables against each other: identities, references, counts, rewards.

Samples and rewards are compared as sorted numbers, one of 64 bits for each (build, row): ten million rows take 80 MB,
where grouping them in SQL would take gigabytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from molbuffer.storage.backends.engine import quote_name
from molbuffer.storage.catalog.readable import ReadableCatalog
from molbuffer.storage.history.scan import keys_of
from molbuffer.storage.records import RowId
from molbuffer.storage.verify.report import MOST_ROWS, Kind, Notes, Severity, listed

Keys = NDArray[np.int64]

_UNIQUE = (
    ("runs", "run_id"),
    ("builds", "build_id"),
    ("checkpoints", "run_id, iteration"),
    ("placements", "build_id, generation"),
    ("readmitted", "build_id, position"),
)

_REFERENCES = (
    ("run_events", "run_id", "runs", "run_id", Severity.ERROR),
    ("builds", "run_id", "runs", "run_id", Severity.ERROR),
    ("checkpoints", "run_id", "runs", "run_id", Severity.ERROR),
    ("consumed", "run_id", "runs", "run_id", Severity.ERROR),
    ("metrics", "run_id", "runs", "run_id", Severity.ERROR),
    ("samples", "build_id", "builds", "build_id", Severity.ERROR),
    ("rewards", "build_id", "builds", "build_id", Severity.ERROR),
    ("metrics", "build_id", "builds", "build_id", Severity.ERROR),
    ("placements", "build_id", "builds", "build_id", Severity.ERROR),
    ("readmitted", "build_id", "builds", "build_id", Severity.ERROR),
    # An archive may leave these behind, and nothing but the lineage depends on them.
    ("consumed", "build_id", "builds", "build_id", Severity.WARNING),
    ("samples", "source_build_id", "builds", "build_id", Severity.WARNING),
    ("readmitted", "source_build_id", "builds", "build_id", Severity.WARNING),
    ("builds", "policy_sha256", "policies", "sha256", Severity.WARNING),
    ("builds", "latent_sha256", "policies", "sha256", Severity.WARNING),
    ("policies", "parent_sha256", "policies", "sha256", Severity.WARNING),
    ("policies", "run_id", "runs", "run_id", Severity.WARNING),
    ("runs", "parent_run_id", "runs", "run_id", Severity.WARNING),
    ("rewards", "run_id", "runs", "run_id", Severity.WARNING),
    ("scores", "run_id", "runs", "run_id", Severity.WARNING),
)
"""Which column names rows of which other table, and how bad it is when there is no such row."""
_ELSEWHERE = {
    # An offline training from an archive says so in its selection: what it was given is in the archive.
    ("consumed", "build_id"): """part.run_id NOT IN (
        SELECT run_id FROM {runs} WHERE json_extract(selection, '$.archive') IS NOT NULL)""",
}
"""Which of these rows need name nothing in this store."""

# A build that is there twice is found by its id, and not once more by each of its rows.
_BUILDS = """
    SELECT build_id, any_value(drawn) AS drawn, any_value(parseable) AS parseable, any_value(kept) AS kept
    FROM {builds} GROUP BY build_id ORDER BY build_id"""
_SAMPLES = """
    SELECT number, samples."row" AS "row", samples.kept AS kept, samples.smiles IS NOT NULL AS parseable
    FROM {samples} AS samples JOIN numbered USING (build_id)"""
_REWARDS = """
    SELECT number, rewards."row" AS "row", rewards.objective_sha256 AS objective, rewards.status = 'ok' AS ok,
        coalesce(isfinite(rewards.value), false) AS has_value
    FROM {rewards} AS rewards JOIN numbered USING (build_id)"""
_READMITTED = """
    SELECT number, given.source_row AS "row"
    FROM {readmitted} AS given JOIN numbered ON numbered.build_id = given.source_build_id"""
_READMITTED_COUNTS = """
    SELECT build_id, builds.readmitted AS said, count(given.build_id) AS found
    FROM {builds} AS builds LEFT JOIN {readmitted} AS given USING (build_id)
    GROUP BY build_id, builds.readmitted HAVING said <> found ORDER BY build_id"""
_CONSUMED = 'SELECT number, eaten."row" AS "row" FROM {consumed} AS eaten JOIN numbered USING (build_id)'


def check_rows(catalog: ReadableCatalog, snapshot: int, notes: Notes) -> None:
    """Every row has an identity of its own, names what exists, and agrees with what its build says."""
    notes.expect(len(_UNIQUE) + len(_REFERENCES) + 2)
    for table, columns in _UNIQUE:
        if notes.readable(f"that {columns} is unique in {table}", table):
            _check_unique(catalog, snapshot, table, columns, notes)
        notes.done("rules about rows")
    for table, column, other, key, severity in _REFERENCES:
        if notes.readable(f"that {table}.{column} is in {other}", table, other):
            _check_reference(catalog, snapshot, (table, column, other, key), severity, notes)
        notes.done("rules about rows")
    if notes.readable("rows of builds", "builds", "samples"):
        samples = _Samples.read(catalog, snapshot)
        notes.checked["samples"] += len(samples.keys)
        _check_counts(catalog, snapshot, samples, notes)
        notes.done("rules about rows")
        if notes.readable("rewards", "rewards"):
            _check_rewards(catalog, snapshot, samples, notes)
        if notes.readable("consumed rows", "consumed"):
            _check_consumed(catalog, snapshot, samples, notes)
        if notes.readable("readmitted rows", "readmitted"):
            _check_readmitted(catalog, snapshot, samples, notes)
        notes.done("rules about rows")


def _check_unique(catalog: ReadableCatalog, snapshot: int, table: str, columns: str, notes: Notes) -> None:
    sql = f"SELECT {columns}, count(*) AS times FROM {{{table}}} GROUP BY {columns} HAVING times > 1 ORDER BY ALL"
    found = catalog.read(sql, snapshot).to_pylist()
    if found:
        names = [" ".join(str(value) for name, value in row.items() if name != "times") for row in found]
        message = (
            f"{len(found)} times {table} has more than one row of one ({columns}): {listed(names)}. Everything that "
            "joins it counts these twice: restore the store from a backup"
        )
        build_ids = tuple(row["build_id"] for row in found if "build_id" in row)
        notes.error(Kind.DUPLICATE, message, table=table, build_ids=build_ids)


def _check_reference(
    catalog: ReadableCatalog, snapshot: int, reference: tuple[str, str, str, str], severity: Severity, notes: Notes
) -> None:
    table, column, other, key = reference
    found = catalog.read(
        f"""SELECT part.{quote_name(column)} AS missing, count(*) AS times FROM {{{table}}} AS part
        ANTI JOIN {{{other}}} AS whole ON whole.{quote_name(key)} = part.{quote_name(column)}
        WHERE part.{quote_name(column)} IS NOT NULL AND {_ELSEWHERE.get((table, column), "true")}
        GROUP BY missing ORDER BY missing""",
        snapshot,
    )
    missing = found["missing"].to_pylist()
    if missing:
        message = (
            f"{sum(found['times'].to_pylist())} rows of {table} name a {column} that {other} does not have: "
            f"{listed(missing)}; "
            + ("restore the store from a backup" if severity is Severity.ERROR else "nothing else depends on it")
        )
        build_ids = tuple(missing) if other == "builds" else ()
        note = notes.error if severity is Severity.ERROR else notes.warning
        note(Kind.REFERENCE, message, table=table, build_ids=build_ids)


@dataclass(frozen=True, eq=False)
class _Samples:
    """The rows of samples that belong to a build.

    Attributes:
        builds: build_id, drawn, parseable, kept of each build [b].
        keys: int64 [n], sorted; the build's number above, the row below bit 32.
        found, kept, parseable: int64 [b], how many rows of each build there are.
    """

    builds: pa.Table
    keys: Keys
    found: NDArray[np.int64]
    kept: NDArray[np.int64]
    parseable: NDArray[np.int64]

    @classmethod
    def read(cls, catalog: ReadableCatalog, snapshot: int) -> _Samples:
        builds = catalog.read(_BUILDS, snapshot)
        rows = catalog.read(_SAMPLES, snapshot, numbered=_numbered(builds))
        numbers, size = rows["number"].to_numpy(), builds.num_rows

        def count(column: str) -> NDArray[np.int64]:
            return np.bincount(numbers[rows[column].to_numpy()], minlength=size)

        found = np.bincount(numbers, minlength=size)
        return cls(builds, np.sort(keys_of(rows)), found, count("kept"), count("parseable"))

    def row_ids(self, keys: Keys) -> tuple[RowId, ...]:
        """The identities of the first of some rows."""
        ids = self.builds["build_id"]
        return tuple(RowId(ids[key >> 32].as_py(), key & 0xFFFFFFFF) for key in keys[:MOST_ROWS].tolist())

    def where(self, keys: Keys) -> dict[str, Any]:
        """The arguments of a finding about rows."""
        ids = self.builds["build_id"].take(pa.array(np.unique(keys >> 32)))
        return {"rows": self.row_ids(keys), "build_ids": tuple(ids.to_pylist())}

    def lacks(self, keys: Keys) -> Keys:
        """Those of some rows that do not exist, sorted, each once."""
        return np.setdiff1d(keys, self.keys)


def _numbered(builds: pa.Table) -> pa.Table:
    return pa.table({"build_id": builds["build_id"], "number": np.arange(builds.num_rows)})


def _twice(keys: Keys) -> Keys:
    """Those of sorted rows that occur more than once, each once."""
    return np.unique(keys[1:][keys[1:] == keys[:-1]])


def _named(rows: Sequence[RowId]) -> str:
    return listed(f"row {each.row} of {each.build_id}" for each in rows)


def _check_counts(catalog: ReadableCatalog, snapshot: int, samples: _Samples, notes: Notes) -> None:
    """The samples of each build are as many as it says, and each row is there once."""
    twice = _twice(samples.keys)
    if len(twice):
        where = samples.where(twice)
        message = f"{len(twice)} samples exist more than once: {_named(where['rows'])}. Restore samples from a backup"
        notes.error(Kind.DUPLICATE, message, table="samples", **where)
    said = {name: samples.builds[name].to_numpy() for name in ("drawn", "parseable", "kept")}
    beyond = samples.keys[(samples.keys & 0xFFFFFFFF) >= said["drawn"][samples.keys >> 32]]
    if len(beyond):
        where = samples.where(beyond)
        message = f"{len(beyond)} samples lie beyond the rows of their build: {_named(where['rows'])}. Restore samples"
        notes.error(Kind.COUNT, message, table="samples", **where)
    unique = samples.found - np.bincount((twice >> 32), minlength=len(samples.found))
    whole, partial = unique == said["drawn"], unique < said["drawn"]
    for name, counted in (("kept", samples.kept), ("parseable", samples.parseable)):
        sound = samples.found == unique
        wrong = sound & ((whole & (counted != said[name])) | (partial & (counted > said[name])))
        if wrong.any():
            first = int(np.flatnonzero(wrong)[0])
            ids = samples.builds["build_id"].filter(pa.array(wrong)).to_pylist()
            message = (
                f"{len(ids)} builds say another number of {name} rows than they have: {ids[0]} says "
                f"{said[name][first]} and has {counted[first]}. Restore samples and builds from a backup"
            )
            notes.error(Kind.COUNT, message, table="builds", build_ids=tuple(ids))
    if partial.any():
        _note_partial(catalog, snapshot, samples, partial, int((said["drawn"] - unique)[partial].sum()), notes)


def _note_partial(
    catalog: ReadableCatalog, snapshot: int, samples: _Samples, partial: NDArray[np.bool_], absent: int, notes: Notes
) -> None:
    """An archive may hold part of a build's rows, and so may a store that one was merged into."""
    ids = samples.builds["build_id"].filter(pa.array(partial)).to_pylist()
    message = f"{len(ids)} builds lack {absent} of the rows they drew: {listed(ids)}"
    expected = False
    if notes.readable("which builds came from archives", "archives"):
        expected = catalog.read("SELECT count(*) AS n FROM {archives}", snapshot)["n"][0].as_py() > 0
    note = notes.information if expected else notes.warning
    reason = (
        "an archive holds the rows that were selected" if expected else "and the store names no archive they are from"
    )
    note(Kind.COUNT, f"{message}; {reason}", table="samples", build_ids=tuple(ids))


def _check_rewards(catalog: ReadableCatalog, snapshot: int, samples: _Samples, notes: Notes) -> None:
    """A reward belongs to a row, has a value exactly when its status is ok, and is final."""
    rewards = catalog.read(_REWARDS, snapshot, numbered=_numbered(samples.builds))
    notes.checked["rewards"] += rewards.num_rows
    keys, ok = keys_of(rewards), rewards["ok"].to_numpy()
    absent = samples.lacks(keys)
    if len(absent):
        where = samples.where(absent)
        message = f"{len(absent)} rows have a reward and do not exist: {_named(where['rows'])}. Restore samples"
        notes.error(Kind.REFERENCE, message, table="rewards", **where)
    odd = keys[ok != rewards["has_value"].to_numpy()]
    if len(odd):
        where = samples.where(odd)
        message = (
            f"{len(odd)} rewards have a value without the status ok, or that status without a finite value: "
            f"{_named(where['rows'])}. Restore rewards from a backup"
        )
        notes.error(Kind.REWARD, message, table="rewards", **where)
    for objective in rewards["objective"].unique():
        of_objective = pa.compute.equal(rewards["objective"], objective).to_numpy()
        twice = _twice(np.sort(keys[ok & of_objective]))
        if len(twice):
            where = samples.where(twice)
            message = (
                f"{len(twice)} rows have more than one good reward under objective {objective}, and count twice in "
                f"queries: {_named(where['rows'])}. Restore rewards from a backup"
            )
            notes.error(Kind.DUPLICATE, message, table="rewards", **where)


def _check_consumed(catalog: ReadableCatalog, snapshot: int, samples: _Samples, notes: Notes) -> None:
    consumed = catalog.read(_CONSUMED, snapshot, numbered=_numbered(samples.builds))
    absent = samples.lacks(keys_of(consumed))
    if len(absent):
        where = samples.where(absent)
        message = f"{len(absent)} rows were delivered to a training and do not exist: {_named(where['rows'])}"
        notes.warning(Kind.REFERENCE, f"{message}; a resumed training passes over them", table="consumed", **where)


def _check_readmitted(catalog: ReadableCatalog, snapshot: int, samples: _Samples, notes: Notes) -> None:
    """The rows that each build gives once more are as many as it says, and exist."""
    wrong = catalog.read(_READMITTED_COUNTS, snapshot).to_pylist()
    if wrong:
        first = wrong[0]
        message = (
            f"{len(wrong)} builds say another number of readmitted rows than they have: {first['build_id']} says "
            f"{first['said']} and has {first['found']}. Restore readmitted and builds from a backup"
        )
        ids = tuple(row["build_id"] for row in wrong)
        notes.error(Kind.COUNT, message, table="readmitted", build_ids=ids)
    absent = samples.lacks(keys_of(catalog.read(_READMITTED, snapshot, numbered=_numbered(samples.builds))))
    if len(absent):
        where = samples.where(absent)
        message = f"{len(absent)} rows were readmitted to a buffer and do not exist: {_named(where['rows'])}"
        notes.warning(Kind.REFERENCE, f"{message}; a training passes over them", table="readmitted", **where)
