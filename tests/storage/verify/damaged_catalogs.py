"""Damages the catalog of copies of a store in many ways, verifies each, and writes a line of JSON about each.

python damaged_catalogs.py STORE FOLDER

In a process of its own: an engine that a damaged catalog ends takes its process with it, and the line that is missing
says which damage did.
"""

import json
import os
import random
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from molbuffer.storage.verify.verify import verify_store

Damage = Callable[[Path], None]
PAGE = 4096


def cut(size: int) -> Damage:
    return lambda file: os.truncate(file, size)


def overwrite(position: int, content: bytes) -> Damage:
    def damage(file: Path) -> None:
        with open(file, "r+b") as opened:
            opened.seek(position)
            opened.write(content)

    return damage


def execute(*statements: str) -> Damage:
    def damage(file: Path) -> None:
        connection = sqlite3.connect(file)
        for sql in statements:
            connection.execute(sql)
        connection.commit()
        connection.close()

    return damage


COLUMNS = {
    "snapshot": ("next_file_id", "schema_version"),
    "table": ("table_name", "schema_id"),
    "column": ("column_name", "column_type", "column_id"),
    "data_file": ("path", "record_count"),
    "schema": ("schema_name",),
}
GARBAGE = (
    "INSERT INTO ducklake_data_file SELECT 9999, table_id, 1, NULL, NULL, '../../../etc/passwd', 1, 'parquet', 5, "
)
GARBAGE += "5, 5, 0, NULL, NULL, NULL, NULL FROM ducklake_table LIMIT 1"


def damages(size: int) -> Iterator[tuple[str, Damage]]:
    """Yield some ways to damage a catalog of a size, each with a name."""
    rng = random.Random(19)
    for length in (1, 15, 100, 512, PAGE, 2 * PAGE, size // 2):
        yield f"cut to {length}", cut(length)
    for position in (16, 18, 44, 100, rng.randrange(size)):
        yield f"flip at {position}", overwrite(position, bytes([rng.randrange(256)]))
    for page in (0, 1, 2, *rng.sample(range(3, size // PAGE), 2)):
        yield f"garbage in page {page}", overwrite(page * PAGE, rng.randbytes(PAGE))
    for table in ("metadata", "snapshot", "snapshot_changes", "table", "column", "data_file", "view"):
        yield f"drop {table}", execute(f"DROP TABLE ducklake_{table}")
    for table in ("snapshot", "schema", "table", "column"):
        yield f"empty {table}", execute(f"DELETE FROM ducklake_{table}")
    for table, columns in COLUMNS.items():
        for column in columns:
            for value in ("NULL", "'garbage'") if table != "data_file" else ("NULL", "x'00ff'"):
                set_value = f"UPDATE OR IGNORE ducklake_{table} SET {column} = {value}"
                yield f"{table}.{column} = {value}", execute(set_value)
    yield "garbage row", execute(GARBAGE)
    yield "SQL for a type", execute("UPDATE ducklake_column SET column_type = 'int64); DROP TABLE x; --'")
    nested = "[" * 50_000
    yield "deep provenance", execute(f"UPDATE ducklake_snapshot_changes SET commit_extra_info = '{nested}'")


def main(store: Path, folder: Path) -> None:
    for name, damage in damages((store / "catalog.sqlite").stat().st_size):
        copy = Path(shutil.copytree(store, folder / "copy"))
        damage(copy / "catalog.sqlite")
        try:
            report = verify_store(copy, quick=True)
            said = {"kinds": sorted({found.kind for found in report.errors}), "checked": dict(report.checked)}
        except Exception as error:
            said = {"raised": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps({"damage": name, **said}) + "\n")
        sys.stdout.flush()
        shutil.rmtree(copy)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
