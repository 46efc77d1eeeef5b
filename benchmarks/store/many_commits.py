"""Fill a catalog with very many commits, each with files of its own, much faster than by real commits.

One real commit is the template. For each further commit, the three Parquet files (``builds``, ``samples``, ``rewards``)
are written with the values that differ between builds, and DuckLake's own tables get the rows that its transaction
would have written: the snapshot and its provenance with the checksums, the files, and the statistics of their columns.
All builds refer to the same place in one segment of arrays, so that segments do not grow.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from rows import RUN_ID, bench_run, make_build

from molbuffer.storage import Commit, Event, SampleStore
from molbuffer.storage.catalog.metadata import change_all_metadata
from molbuffer.storage.records import make_build_id

TABLES = ("builds", "samples", "rewards")
PORTION = 5_000
"""The number of commits whose catalog rows are added in one transaction."""
COMPRESSION = "lz4"


@dataclass(frozen=True)
class TemplateFile:
    """The template's Parquet file of one table, with its rows in DuckLake's tables."""

    table: str
    folder: Path
    content: pa.Table
    file: dict[str, Any]
    statistics: list[dict[str, Any]]


def add_commits(store: SampleStore, commits: int, rows: int) -> None:
    """Fill a new store as if a number of commits had been made, each with one build of rewarded rows."""
    store.start_run(bench_run())
    store.commit(Commit([make_build(0, rows, np.random.default_rng(0), rewarded=True)]))
    template = [template_file(store, table) for table in TABLES]
    for first in range(1, commits, PORTION):
        add_portion(store, template, range(first, min(commits, first + PORTION)))
    store._open.catalog.rewrite_journal()


def rows_of(store: SampleStore, sql: str) -> list[dict[str, Any]]:
    """Return the rows of DuckLake's own tables."""
    catalog = store._open.catalog
    with closing(catalog.cursor()) as cursor:
        found: list[dict[str, Any]] = cursor.execute(catalog.metadata_sql(sql)).to_arrow_table().to_pylist()
    return found


def template_file(store: SampleStore, table: str) -> TemplateFile:
    (file,) = rows_of(
        store,
        f"""SELECT part.* FROM METADATA.ducklake_data_file AS part
        JOIN METADATA.ducklake_table AS whole USING (table_id)
        WHERE table_name = '{table}' AND part.begin_snapshot = {store.snapshot()}""",
    )
    statistics = rows_of(
        store,
        f"""SELECT stats.*, column_name FROM METADATA.ducklake_file_column_stats AS stats
        JOIN METADATA.ducklake_column AS named USING (table_id, column_id)
        WHERE data_file_id = {file["data_file_id"]} AND named.end_snapshot IS NULL""",
    )
    folder = Path(str(store._open.catalog.tables)) / "main" / table
    return TemplateFile(table, folder, pq.read_table(folder / file["path"]), file, statistics)


def add_portion(store: SampleStore, template: list[TemplateFile], iterations: range) -> None:
    """Write the files of a portion of the commits, and add their rows to the catalog in one transaction."""
    newest = rows_of(store, "FROM METADATA.ducklake_snapshot ORDER BY snapshot_id DESC LIMIT 1")[0]
    changes = rows_of(store, "FROM METADATA.ducklake_snapshot_changes ORDER BY snapshot_id DESC LIMIT 1")[0]
    added: dict[str, list[dict[str, Any]]] = {name: [] for name in ("snapshot", "snapshot_changes", "data_file")}
    statistics: list[dict[str, Any]] = []
    for at, iteration in enumerate(iterations):
        snapshot, first_file = newest["snapshot_id"] + 1 + at, newest["next_file_id"] + len(TABLES) * at
        build_id, checksums = make_build_id(RUN_ID, iteration, Event.BUILD_BUFFER, "live", 0), {}
        for number, of_table in enumerate(template):
            content = changed(of_table.content, build_id, iteration)
            name, written = write_file(of_table.folder, content)
            checksums[f"tables/main/{of_table.table}/{name}"] = hashlib.sha256(written).hexdigest()
            file_id, rows = first_file + number, content.num_rows
            sizes = {"file_size_bytes": len(written), "footer_size": int.from_bytes(written[-8:-4], "little")}
            places = {
                "data_file_id": file_id,
                "begin_snapshot": snapshot,
                "path": name,
                "row_id_start": iteration * rows,
            }
            added["data_file"].append(of_table.file | sizes | places)
            statistics += statistics_of(of_table, content, file_id)
        next_file = {"snapshot_id": snapshot, "next_file_id": first_file + len(TABLES)}
        added["snapshot"].append(newest | next_file)
        extra = json.loads(changes["commit_extra_info"]) | {"checksums": checksums}
        extra |= {"iterations": [iteration], "builds": [build_id]}
        added["snapshot_changes"].append(changes | {"snapshot_id": snapshot, "commit_extra_info": json.dumps(extra)})
    given = {name: pa.Table.from_pylist(of) for name, of in added.items()}
    given["file_column_stats"] = pa.Table.from_pylist(statistics)
    inserts = [(f"INSERT INTO METADATA.ducklake_{name} BY NAME FROM given", rows) for name, rows in given.items()]
    change_all_metadata(store._open.catalog, [*inserts, *totals(template, len(iterations))])


def changed(content: pa.Table, build_id: str, iteration: int) -> pa.Table:
    """Return the rows of the template, changed to those of another build."""
    new = {"build_id": build_id, "iteration": iteration}
    for name in content.column_names:
        at, field = content.column_names.index(name), content.schema.field(name)
        if name in new:
            content = content.set_column(at, field, pa.repeat(pa.scalar(new[name], field.type), content.num_rows))
        elif name in ("smiles", "raw"):
            content = content.set_column(at, field, pc.binary_join_element_wise(content[name], f"C{iteration}", "."))
    return content


def write_file(folder: Path, content: pa.Table) -> tuple[str, bytes]:
    """Write a Parquet file, and return its name and its content."""
    sink, name = pa.BufferOutputStream(), f"ducklake-{uuid.uuid4()}.parquet"
    pq.write_table(content, sink, compression=COMPRESSION)
    written: bytes = sink.getvalue().to_pybytes()
    (folder / name).write_bytes(written)
    return name, written


def statistics_of(template: TemplateFile, content: pa.Table, file_id: int) -> Iterator[dict[str, Any]]:
    """Return the statistics of the columns of a file, in the form of DuckLake."""
    for column in template.statistics:
        row = {name: value for name, value in column.items() if name != "column_name"} | {"data_file_id": file_id}
        if column["column_name"] in ("build_id", "iteration", "smiles", "raw"):
            ends = pc.min_max(content[column["column_name"]]).as_py()
            row |= {"min_value": str(ends["min"]), "max_value": str(ends["max"])}
        yield row


def totals(template: list[TemplateFile], commits: int) -> Iterator[tuple[str, None]]:
    """Return the statements that update the statistics of whole tables."""
    for of_table in template:
        table, rows = of_table.file["table_id"], of_table.content.num_rows * commits
        yield (
            f"""UPDATE METADATA.ducklake_table_stats SET record_count = record_count + {rows},
            next_row_id = next_row_id + {rows}, file_size_bytes =
            (SELECT sum(file_size_bytes)::BIGINT FROM METADATA.ducklake_data_file WHERE table_id = {table})
            WHERE table_id = {table}""",
            None,
        )
        for column in of_table.statistics:
            if column["column_name"] in ("build_id", "smiles", "raw"):
                ends = f"""FROM METADATA.ducklake_file_column_stats
                WHERE table_id = {table} AND column_id = {column["column_id"]}"""
                yield (
                    f"""UPDATE METADATA.ducklake_table_column_stats SET min_value = (SELECT min(min_value) {ends}),
                    max_value = (SELECT max(max_value) {ends})
                    WHERE table_id = {table} AND column_id = {column["column_id"]}""",
                    None,
                )
            elif column["column_name"] == "iteration":
                yield (
                    f"""UPDATE METADATA.ducklake_table_column_stats
                    SET max_value = (CAST(max_value AS BIGINT) + {commits})::VARCHAR
                    WHERE table_id = {table} AND column_id = {column["column_id"]}""",
                    None,
                )
