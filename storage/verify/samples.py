"""Verification of the rows of samples, and of the rows of other tables that name samples.

Rows are compared as sorted integers of 64 bits, one for each (build, row): ten million rows take 80 MB, while grouping
them in SQL would take gigabytes. Each rule is a record with a description, a function that returns the rows that break
the rule, and advice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from molbuffer.storage.history import keys_of
from molbuffer.storage.records import RowId
from molbuffer.storage.verify.report import MAX_NAMED_ROWS, FindingKind, Severity, first_few
from molbuffer.storage.verify.verification import Verification

Keys = NDArray[np.int64]
"""Rows of samples as integers: the number of the build in the upper 32 bits, the row in the lower 32 bits."""


@dataclass(frozen=True, eq=False)
class Samples:
    """The rows of samples that belong to a build.

    Attributes:
        builds: the builds [b] with the counts that they state: build_id, drawn, parseable and kept.
        keys: the keys of the rows, int64 [n], sorted.
        found: the number of existing rows of each build, int64 [b].
        kept: the number of these rows that were kept, int64 [b].
        parseable: the number of these rows that are molecules, int64 [b].
    """

    builds: pa.Table
    keys: Keys
    found: NDArray[np.int64]
    kept: NDArray[np.int64]
    parseable: NDArray[np.int64]

    @property
    def numbered(self) -> pa.Table:
        """The number of each build in the keys, as a table (build_id, number)."""
        return _numbered(self.builds)


def _numbered(builds: pa.Table) -> pa.Table:
    return pa.table({"build_id": builds["build_id"], "number": np.arange(builds.num_rows)})


def _duplicates(keys: Keys) -> Keys:
    """Return the keys that occur more than once among sorted keys, each once."""
    return np.unique(keys[1:][keys[1:] == keys[:-1]])


def _beyond_their_build(samples: Samples, rows: pa.Table) -> Keys:
    drawn: Keys = samples.builds["drawn"].to_numpy()
    beyond: Keys = samples.keys[(samples.keys & 0xFFFFFFFF) >= drawn[samples.keys >> 32]]
    return beyond


def _without_sample(samples: Samples, rows: pa.Table) -> Keys:
    absent: Keys = np.setdiff1d(keys_of(rows), samples.keys)
    return absent


def _with_wrong_value(samples: Samples, rows: pa.Table) -> Keys:
    wrong: NDArray[np.bool_] = rows["ok"].to_numpy() != rows["has_value"].to_numpy()
    return keys_of(rows)[wrong]


def _rewarded_twice(samples: Samples, rows: pa.Table) -> Keys:
    """Return the rows that have more than one good reward under one objective."""
    keys, ok = keys_of(rows), rows["ok"].to_numpy()
    of_each = (pa.compute.equal(rows["objective"], name).to_numpy() for name in rows["objective"].unique())
    twice = [_duplicates(np.sort(keys[ok & of_objective])) for of_objective in of_each]
    return np.unique(np.concatenate([np.zeros(0, np.int64), *twice]))


@dataclass(frozen=True)
class SampleRule:
    """A rule about rows that are samples, or that name samples.

    Attributes:
        name: the violation of the rule, as text that follows the number of rows.
        broken: a function of the samples and of the rows of ``SampleTable.sql`` that returns the keys of violations.
        advice: the consequences of a violation, and what to do.
        kind: the kind of the finding.
        severity: the severity of the finding.
    """

    name: str
    broken: Callable[[Samples, pa.Table], Keys]
    advice: str
    kind: FindingKind
    severity: Severity = Severity.ERROR


@dataclass(frozen=True)
class SampleTable:
    """A table whose rows name samples, and the rules about them.

    Attributes:
        table: the name of the table.
        sql: a SELECT of its rows with (number, row), where ``numbered`` has the number of each build.
        rules: the rules about its rows.
    """

    table: str
    sql: str
    rules: tuple[SampleRule, ...]


_SAMPLES = """
    SELECT number, samples."row" AS "row", samples.kept AS kept, samples.smiles IS NOT NULL AS parseable
    FROM {samples} AS samples JOIN numbered USING (build_id)"""
SAMPLE_RULES = (
    SampleRule(
        "samples exist more than once",
        lambda samples, rows: _duplicates(samples.keys),
        "Restore samples from a backup",
        FindingKind.DUPLICATE,
    ),
    SampleRule(
        "samples lie beyond the rows of their build",
        _beyond_their_build,
        "Restore samples from a backup",
        FindingKind.COUNT,
    ),
)
SAMPLE_TABLES = (
    SampleTable(
        "rewards",
        """SELECT number, rewards."row" AS "row", rewards.objective_sha256 AS objective, rewards.status = 'ok' AS ok,
            coalesce(isfinite(rewards.value), false) AS has_value
        FROM {rewards} AS rewards JOIN numbered USING (build_id)""",
        (
            SampleRule(
                "rows have a reward and do not exist",
                _without_sample,
                "Restore samples from a backup",
                FindingKind.REFERENCE,
            ),
            SampleRule(
                "rewards have a value without the status ok, or that status without a finite value",
                _with_wrong_value,
                "Restore rewards from a backup",
                FindingKind.REWARD,
            ),
            SampleRule(
                "rows have more than one good reward under one objective",
                _rewarded_twice,
                "Queries count them twice: restore rewards from a backup",
                FindingKind.DUPLICATE,
            ),
        ),
    ),
    SampleTable(
        "consumed",
        'SELECT number, eaten."row" AS "row" FROM {consumed} AS eaten JOIN numbered USING (build_id)',
        (
            SampleRule(
                "rows were delivered to a training and do not exist",
                _without_sample,
                "A resumed training passes over them",
                FindingKind.REFERENCE,
                Severity.WARNING,
            ),
        ),
    ),
    SampleTable(
        "readmitted",
        """SELECT number, given.source_row AS "row"
        FROM {readmitted} AS given JOIN numbered ON numbered.build_id = given.source_build_id""",
        (
            SampleRule(
                "rows were readmitted to a buffer and do not exist",
                _without_sample,
                "A training passes over them",
                FindingKind.REFERENCE,
                Severity.WARNING,
            ),
        ),
    ),
)


def check_samples(of: Verification) -> None:
    """Check that each sample exists once, that builds have as many as they state, and that references to them exist."""
    of.findings.expect(1 + len(SAMPLE_TABLES))
    samples = _read_samples(of) if of.findings.can_read("rows of builds", "builds", "samples") else None
    if samples is not None:
        of.findings.checked["samples"] += len(samples.keys)
        for rule in SAMPLE_RULES:
            _report_broken(of, "samples", rule, samples, samples.builds)
        _check_counts(of, samples)
    of.findings.done("rules about samples")
    for table in SAMPLE_TABLES:
        if samples is not None and of.findings.can_read(f"rows of {table.table}", table.table):
            rows = of.catalog.read(table.sql, of.snapshot, numbered=samples.numbered)
            of.findings.checked[table.table] += rows.num_rows
            for rule in table.rules:
                _report_broken(of, table.table, rule, samples, rows)
        of.findings.done("rules about samples")


def _read_samples(of: Verification) -> Samples:
    # A build with two rows in ``builds`` is reported by its id, and its samples are not reported as well.
    builds = of.catalog.read(
        """SELECT build_id, any_value(drawn) AS drawn, any_value(parseable) AS parseable, any_value(kept) AS kept
        FROM {builds} GROUP BY build_id ORDER BY build_id""",
        of.snapshot,
    )
    rows = of.catalog.read(_SAMPLES, of.snapshot, numbered=_numbered(builds))
    numbers, size = rows["number"].to_numpy(), builds.num_rows
    found, kept, parseable = (
        np.bincount(of_kind, minlength=size)
        for of_kind in (numbers, numbers[rows["kept"].to_numpy()], numbers[rows["parseable"].to_numpy()])
    )
    return Samples(builds, np.sort(keys_of(rows)), found, kept, parseable)


def _report_broken(of: Verification, table: str, rule: SampleRule, samples: Samples, rows: pa.Table) -> None:
    broken = rule.broken(samples, rows)
    if not len(broken):
        return
    ids = samples.builds["build_id"]
    named = tuple(RowId(ids[key >> 32].as_py(), key & 0xFFFFFFFF) for key in broken[:MAX_NAMED_ROWS].tolist())
    few = first_few((f"row {each.row} of {each.build_id}" for each in named), len(broken))
    of.findings.add(
        rule.severity,
        rule.kind,
        f"{len(broken)} {rule.name}: {few}",
        advice=rule.advice,
        table=table,
        rows=named,
        build_ids=tuple(ids.take(pa.array(np.unique(broken >> 32))).to_pylist()),
    )


def _check_counts(of: Verification, samples: Samples) -> None:
    """Check that each build has as many rows, molecules and kept rows as it states, or fewer if it is partial."""
    ids = samples.builds["build_id"]
    drawn = samples.builds["drawn"].to_numpy()
    unique = samples.found - np.bincount(_duplicates(samples.keys) >> 32, minlength=len(samples.found))
    whole, partial = unique == drawn, unique < drawn
    for name, counted in (("kept", samples.kept), ("parseable", samples.parseable)):
        stated = samples.builds[name].to_numpy()
        # A build with duplicate rows, which are reported as such, is left out.
        sound = samples.found == unique
        wrong = sound & ((whole & (counted != stated)) | (partial & (counted > stated)))
        if wrong.any():
            first, build_ids = int(np.flatnonzero(wrong)[0]), tuple(ids.filter(pa.array(wrong)).to_pylist())
            message = (
                f"{len(build_ids)} builds state another number of {name} rows than they have: {build_ids[0]} states "
                f"{stated[first]} and has {counted[first]}. Restore samples and builds from a backup"
            )
            of.findings.error(FindingKind.COUNT, message, table="builds", build_ids=build_ids)
    if partial.any():
        absent = int((drawn - unique)[partial].sum())
        _report_partial(of, tuple(ids.filter(pa.array(partial)).to_pylist()), absent)


def _report_partial(of: Verification, build_ids: tuple[str, ...], absent: int) -> None:
    """Report builds that lack rows, as archives, and stores that they were merged into, may have them."""
    expected = False
    if of.findings.can_read("which builds came from archives", "archives"):
        expected = of.catalog.read("SELECT count(*) AS n FROM {archives}", of.snapshot)["n"][0].as_py() > 0
    severity, reason = Severity.WARNING, "and the store names no archive they are from"
    if expected:
        severity, reason = Severity.INFORMATION, "an archive holds the rows that were selected"
    message = f"{len(build_ids)} builds lack {absent} of the rows they drew: {first_few(build_ids)}; {reason}"
    of.findings.add(severity, FindingKind.COUNT, message, table="samples", build_ids=build_ids)
