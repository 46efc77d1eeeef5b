"""The Parquet files in the folders of a store's tables, whether a snapshot has them or not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass

import duckdb

from molbuffer.storage.backends import closed_connection, one_line, reach
from molbuffer.storage.files import Place, entries

DELETIONS = "-delete.parquet"
"""The end of the names of files that say which rows are deleted. The store has none, but other programs may."""


@dataclass(frozen=True)
class ParquetFile:
    """A Parquet file of a table.

    Attributes:
        table: the table.
        place: where it is.
        rows: how many rows it has.
    """

    table: str
    place: Place
    rows: int

    @property
    def path(self) -> str:
        """The path in the store."""
        return f"tables/main/{self.table}/{self.place.name}"


@dataclass(frozen=True)
class ParquetFolder:
    """The Parquet files that are there.

    Attributes:
        sound: those that can be read, by path in the store.
        damaged: why each of the others cannot be read, by path in the store.
        deletions: the paths of files that say which rows are deleted.
    """

    sound: Mapping[str, ParquetFile]
    damaged: Mapping[str, str]
    deletions: tuple[str, ...]


def find_parquet(tables: Place, names: Iterable[str]) -> ParquetFolder:
    """Look at all Parquet files of tables, and decode each: one that is cut off may yet end as it should.

    Args:
        tables: the folder of the tables' folders.
        names: the tables.
    """
    sound: dict[str, ParquetFile] = {}
    damaged: dict[str, str] = {}
    deletions: list[str] = []
    with closing(closed_connection()) as reader:
        reach(reader, tables)
        for table in names:
            for place in entries(tables / "main" / table):
                path = f"tables/main/{table}/{place.name}"
                if place.name.endswith(DELETIONS):
                    deletions.append(path)
                elif place.suffix == ".parquet":
                    try:
                        sound[path] = ParquetFile(table, place, _rows(reader, place))
                    except (duckdb.Error, OSError) as error:
                        damaged[path] = one_line(error)
    return ParquetFolder(sound, damaged, tuple(deletions))


def _rows(reader: duckdb.DuckDBPyConnection, place: Place) -> int:
    """Return the number of rows of a file all of whose columns can be decoded."""
    sql = "SELECT count(*), bit_xor(hash(part)) FROM read_parquet(?) AS part"
    return int(reader.execute(sql, [str(place)]).fetchall()[0][0])
