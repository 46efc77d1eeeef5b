"""Verification of the tables: identities are unique, references exist, and counts agree.

Each rule is a record with a SELECT of violations, a description, and advice. The rules about samples, which have many
rows, are in ``verify.samples``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from molbuffer.storage.backends import quote_name
from molbuffer.storage.verify.report import FindingKind, Severity, first_few
from molbuffer.storage.verify.verification import Verification

_FROM_BACKUP = "Restore the store from a backup"


@dataclass(frozen=True)
class TableRule:
    """A rule that one SELECT checks.

    Attributes:
        name: the violation of the rule, as text that follows the number of rows.
        sql: a SELECT of (subject, build_id, rows): each value that breaks the rule, its build if it has one, and the
            number of rows with it.
        advice: the consequences of a violation, and what to do.
        kind: the kind of the finding.
        severity: the severity of the finding.
        tables: the tables that the SELECT reads; the finding is about the first.
    """

    name: str
    sql: str
    advice: str
    kind: FindingKind
    severity: Severity
    tables: tuple[str, ...]


def _unique(table: str, *columns: str) -> TableRule:
    """Return the rule that a table has one row for each value of some columns."""
    names = ", ".join(map(quote_name, columns))
    build_id = "build_id" if "build_id" in columns else "NULL"
    return TableRule(
        name=f"of {table} share a ({', '.join(columns)}) that only one row may have",
        sql=f"""SELECT concat_ws(' ', {names}) AS subject, {build_id} AS build_id, count(*) AS "rows"
            FROM {{{table}}} GROUP BY {names} HAVING count(*) > 1 ORDER BY ALL""",
        advice=f"Everything that joins the table counts them twice. {_FROM_BACKUP}",
        kind=FindingKind.DUPLICATE,
        severity=Severity.ERROR,
        tables=(table,),
    )


def _reference(
    table: str, column: str, other: str, key: str, *, severity: Severity = Severity.ERROR, unless: str = "false"
) -> TableRule:
    """Return the rule that a column names rows of another table, unless a condition on the row holds."""
    column_name, key_name = quote_name(column), quote_name(key)
    return TableRule(
        name=f"of {table} name a {column} that {other} does not have",
        sql=f"""SELECT part.{column_name} AS subject, {"subject" if other == "builds" else "NULL"} AS build_id,
            count(*) AS "rows" FROM {{{table}}} AS part
            ANTI JOIN {{{other}}} AS whole ON whole.{key_name} = part.{column_name}
            WHERE part.{column_name} IS NOT NULL AND NOT ({unless}) GROUP BY ALL ORDER BY ALL""",
        advice=_FROM_BACKUP if severity is Severity.ERROR else "Nothing else depends on it",
        kind=FindingKind.REFERENCE,
        severity=severity,
        tables=(table, other),
    )


TABLE_RULES = (
    _unique("runs", "run_id"),
    _unique("builds", "build_id"),
    _unique("checkpoints", "run_id", "iteration"),
    _unique("placements", "build_id", "generation"),
    _unique("readmitted", "build_id", "position"),
    _unique("objectives", "objective_sha256", "position"),
    _unique("objectives", "objective_sha256", "component"),
    _reference("run_events", "run_id", "runs", "run_id"),
    _reference("builds", "run_id", "runs", "run_id"),
    _reference("checkpoints", "run_id", "runs", "run_id"),
    _unique("bucketed_molecules", "run_id", "position"),
    _reference("bucketed_molecules", "run_id", "runs", "run_id"),
    _unique("poses", "smiles", "component", "version"),
    _reference("poses", "run_id", "runs", "run_id", severity=Severity.WARNING),
    _reference("consumed", "run_id", "runs", "run_id"),
    _reference("metrics", "run_id", "runs", "run_id"),
    _reference("samples", "build_id", "builds", "build_id"),
    _reference("rewards", "build_id", "builds", "build_id"),
    _reference("metrics", "build_id", "builds", "build_id"),
    _reference("placements", "build_id", "builds", "build_id"),
    _reference("readmitted", "build_id", "builds", "build_id"),
    # An archive may lack the rows that these columns name, on which only the lineage depends. An offline training from
    # an archive states it in its selection: the rows that it consumed are in the archive.
    _reference(
        *("consumed", "build_id", "builds", "build_id"),
        severity=Severity.WARNING,
        unless="part.run_id IN (SELECT run_id FROM {runs} WHERE json_extract(selection, '$.archive') IS NOT NULL)",
    ),
    _reference("samples", "source_build_id", "builds", "build_id", severity=Severity.WARNING),
    _reference("readmitted", "source_build_id", "builds", "build_id", severity=Severity.WARNING),
    _reference("builds", "policy_sha256", "policies", "sha256", severity=Severity.WARNING),
    _reference("builds", "latent_sha256", "policies", "sha256", severity=Severity.WARNING),
    _reference("policies", "parent_sha256", "policies", "sha256", severity=Severity.WARNING),
    _reference("policies", "run_id", "runs", "run_id", severity=Severity.WARNING),
    _reference("runs", "parent_run_id", "runs", "run_id", severity=Severity.WARNING),
    _reference("rewards", "run_id", "runs", "run_id", severity=Severity.WARNING),
    _reference("scores", "run_id", "runs", "run_id", severity=Severity.WARNING),
    TableRule(
        name="of readmitted are missing, or more than their builds state",
        sql="""SELECT build_id || ' states ' || builds.readmitted || ' and has ' || count(given.build_id) AS subject,
            build_id, abs(builds.readmitted - count(given.build_id)) AS "rows"
            FROM {builds} AS builds LEFT JOIN {readmitted} AS given USING (build_id)
            GROUP BY build_id, builds.readmitted HAVING builds.readmitted <> count(given.build_id) ORDER BY build_id""",
        advice="Restore readmitted and builds from a backup",
        kind=FindingKind.COUNT,
        severity=Severity.ERROR,
        tables=("readmitted", "builds"),
    ),
    TableRule(
        name="of rewards are to come and never will, since their rows were refused or are no molecules",
        sql="""SELECT build_id AS subject, build_id, count(*) AS "rows"
            FROM {rewards} AS rewards JOIN {samples} AS samples USING (build_id, "row")
            WHERE rewards.status = 'pending' AND NOT coalesce(samples.kept AND samples.smiles <> '', false)
            GROUP BY build_id ORDER BY build_id""",
        advice="Nothing scores them, and a training that waits for them gives up: restore rewards from a backup",
        kind=FindingKind.REWARD,
        severity=Severity.ERROR,
        tables=("rewards", "samples"),
    ),
    TableRule(
        name="of objectives have no name, version, weight or transform that molecule_scores can use",
        sql="""SELECT coalesce(objective_sha256, '?') || ' component ' || coalesce(component, '?') AS subject,
            NULL AS build_id, 1 AS "rows" FROM {objectives}
            WHERE NOT coalesce(position >= 0 AND component <> '' AND version <> '' AND weight >= 0 AND isfinite(weight)
            AND json_extract_string(TRY_CAST(transform AS JSON), '$.kind') <> '', false) ORDER BY ALL""",
        advice="Rewards do not depend on it; restore objectives from a backup to see their components",
        kind=FindingKind.OBJECTIVE,
        severity=Severity.WARNING,
        tables=("objectives",),
    ),
)


def check_tables(of: Verification) -> None:
    """Check the rules of all tables."""
    of.findings.expect(len(TABLE_RULES))
    with of.catalog.reading() as read:
        for rule in TABLE_RULES:
            _check_table(of, rule, read)
            of.findings.done("rules about tables")


def _check_table(of: Verification, rule: TableRule, read: Callable[[str, int], pa.Table]) -> None:
    if not of.findings.can_read(f"whether rows {rule.name}", *rule.tables):
        return
    found = read(rule.sql, of.snapshot).to_pylist()
    if found:
        subjects = first_few(row["subject"] for row in found)
        message = f"{sum(row['rows'] for row in found)} rows {rule.name}: {subjects}"
        build_ids = tuple(row["build_id"] for row in found if row["build_id"] is not None)
        named = {"table": rule.tables[0], "build_ids": build_ids}
        of.findings.add(rule.severity, rule.kind, message, advice=rule.advice, **named)
