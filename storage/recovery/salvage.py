"""Salvage: adds the rows of Parquet files whose snapshot is unknown to a catalog, each fact once.

Some of these files may come from writers that were killed before they committed; others were merged into larger files
by a compaction. A row is therefore added only if its table has no row of the same identity. Of several attempts at a
build, the one with the most rows counts; all rows of one commit have the same time, which tells attempts apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from molbuffer.storage.catalog import Catalog, ParquetFile, TableFiles, Transaction
from molbuffer.storage.files import entries
from molbuffer.storage.layout import Layout


@dataclass(frozen=True)
class SalvageRule:
    """The rule by which rows of a table are chosen.

    Attributes:
        table: the name of the table.
        key: the SQL expressions that together identify a row.
        where: the SQL condition that a row must fulfil; the row is named ``found``.
        preferred: an SQL expression: of rows with one identity, the row with its greatest value is taken, and of equal
            rows the oldest.
    """

    table: str
    key: tuple[str, ...]
    where: str = "true"
    preferred: str = "true"


# For each attempt at a build: how many of its rows were found, and whether its arrays exist.
_ATTEMPTS = """WITH attempts AS (
    SELECT builds.build_id, builds.created, builds.drawn = 0 OR count(drawn."row") > 0 AS has_rows,
        {'arrays': any_value(builds.segment IN (SELECT name FROM segments)),
            'rows': count(DISTINCT drawn."row")} AS worth
    FROM (BUILDS) AS builds LEFT JOIN (SAMPLES) AS drawn
        ON drawn.build_id = builds.build_id AND drawn.created = builds.created
    GROUP BY builds.build_id, builds.created, builds.drawn)"""
_NO_SAMPLES = 'SELECT NULL::VARCHAR AS build_id, NULL::INTEGER AS "row", NULL::TIMESTAMP AS created WHERE false'
_ATTEMPT = "(SELECT any_value({}) FROM attempts WHERE build_id = found.build_id AND created = found.created)"
_OF_ITS_BUILD = """EXISTS (FROM {builds} AS builds
    WHERE builds.build_id = found.build_id AND builds.created = found.created)"""
_HAS_BUILD = "EXISTS (FROM {builds} AS builds WHERE builds.build_id = found.build_id)"
_HAS_SAMPLE = """EXISTS (FROM {samples} AS samples
    WHERE samples.build_id = found.build_id AND samples."row" = found."row")"""
# A good score or reward is one fact, however often it was found; each failed attempt is a fact of its own.
_OK_ONCE = "CASE WHEN status = 'ok' THEN NULL ELSE created END"

RULES = (
    SalvageRule("runs", ("run_id",)),
    SalvageRule("run_events", ("run_id", "status", "created")),
    SalvageRule("objectives", ("objective_sha256", "position")),
    SalvageRule("builds", ("build_id",), _ATTEMPT.format("has_rows"), _ATTEMPT.format("worth")),
    SalvageRule("samples", ("build_id", '"row"'), _OF_ITS_BUILD),
    SalvageRule("readmitted", ("build_id", "position"), _OF_ITS_BUILD),
    SalvageRule("rewards", ("build_id", '"row"', "objective_sha256", "status", _OK_ONCE), _HAS_SAMPLE, _OF_ITS_BUILD),
    SalvageRule("scores", ("smiles", "component", "version", "status", _OK_ONCE)),
    SalvageRule("poses", ("smiles", "component", "version")),
    SalvageRule(
        "metrics",
        ("run_id", "build_id", "iteration", "sampler", "event", "name"),
        f"build_id IS NULL OR {_HAS_BUILD}",
        _OF_ITS_BUILD,
    ),
    SalvageRule("policies", ("sha256", "weights_kept")),
    SalvageRule("consumed", ("run_id", "build_id", '"row"', "iteration")),
    SalvageRule("bucketed_molecules", ("run_id", "position")),
    SalvageRule("checkpoints", ("run_id", "iteration"), preferred="folder IN (SELECT name FROM folders)"),
    SalvageRule("placements", ("build_id", "generation"), f"segment IN (SELECT name FROM segments) AND {_HAS_BUILD}"),
    SalvageRule("quarantine", ("segment",)),
    SalvageRule("archives", ("archive_id",)),
)
"""The rules, in the order in which they are applied: the rows that another row belongs to are added before it."""


def salvage(catalog: Catalog, layout: Layout, files: Sequence[ParquetFile], message: str) -> dict[str, int]:
    """Add the rows of Parquet files that a catalog does not have, in one new snapshot.

    Args:
        catalog: the catalog, whose rows are kept.
        layout: the paths of the store's files.
        files: Parquet files that the catalog does not name.
        message: the message of the new snapshot.

    Returns:
        The number of rows that were added, by table.
    """
    found = _selects(catalog, files)
    run_folders = (folder for run in entries(layout.checkpoints) for folder in entries(run))
    names = {
        "segments": pa.table({"name": pa.array([path.name for path in entries(layout.arrays)], pa.string())}),
        "folders": pa.table({"name": pa.array([layout.name_of(path) for path in run_folders], pa.string())}),
    }

    def add(transaction: Transaction) -> dict[str, int]:
        return {rule.table: _add(transaction, rule, found, names) for rule in RULES if rule.table in found}

    return catalog.transact("molbuffer", message, {"recovery": "files"}, add)[0]


def _add(transaction: Transaction, rule: SalvageRule, found: Mapping[str, str], names: Mapping[str, pa.Table]) -> int:
    attempts = ""
    if rule.table == "builds":
        attempts = _ATTEMPTS.replace("BUILDS", found["builds"]).replace("SAMPLES", found.get("samples", _NO_SAMPLES))
    keys = [f"key_{place}" for place in range(len(rule.key))]
    key = ", ".join(f"{sql} AS {name}" for name, sql in zip(keys, rule.key, strict=True))
    same = " AND ".join(f"found.{name} IS NOT DISTINCT FROM there.{name}" for name in keys)
    select = f"""{attempts} SELECT * EXCLUDE ({", ".join(keys)}, preferred)
        FROM (SELECT *, {key}, {rule.preferred} AS preferred FROM ({found[rule.table]}) AS found WHERE {rule.where})
            AS found ANTI JOIN (SELECT {key} FROM {{{rule.table}}}) AS there ON {same}
        QUALIFY row_number() OVER (PARTITION BY {", ".join(keys)} ORDER BY preferred DESC, created) = 1"""
    return transaction.insert_select(rule.table, select, **names)


def _selects(catalog: Catalog, files: Sequence[ParquetFile]) -> dict[str, str]:
    """Return a SELECT over the files of each table, with the present columns of the table."""
    newest = catalog.newest()
    tables = sorted({file.table for file in files})
    return {
        table: TableFiles(
            columns=source.columns,
            whole=tuple(file.place for file in files if file.table == table),
            partial=(),
            rows=sum(file.rows for file in files if file.table == table),
        ).select(newest)
        for table, source in catalog.files(tables, newest).items()
    }
