"""The Parquet files in the folders of a store's tables, including files that no snapshot has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass

import duckdb

from molbuffer.storage.backends import closed_connection, one_line, reach
from molbuffer.storage.files import Place, entries

DELETIONS = "-delete.parquet"
"""The end of the names of files that list deleted rows. The store never writes them, but other programs may."""


@dataclass(frozen=True)
class ParquetFile:
    """A Parquet file of a table.

    Attributes:
        table: the name of the table.
        place: the place of the file.
        rows: the number of rows.
    """

    table: str
    place: Place
    rows: int

    @property
    def path(self) -> str:
        """The path of the file relative to the store's data."""
        return f"tables/main/{self.table}/{self.place.name}"


@dataclass(frozen=True)
class ParquetFolder:
    """The Parquet files in the folders of tables.

    Attributes:
        sound: the readable files, by path in the store.
        damaged: the reason why a file cannot be read, by path in the store.
        deletions: the paths of files that list deleted rows.
    """

    sound: Mapping[str, ParquetFile]
    damaged: Mapping[str, str]
    deletions: tuple[str, ...]


def find_parquet(tables: Place, names: Iterable[str]) -> ParquetFolder:
    """Return all Parquet files of tables, after decoding each of them to find damaged ones.

    Args:
        tables: the place of the tables, whose folders are below ``main``.
        names: the names of the tables.
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
    """Return the number of rows of a Parquet file, after decoding all of its columns.

    Raises:
        duckdb.Error: a column cannot be decoded.
    """
    sql = "SELECT count(*), bit_xor(hash(part)) FROM read_parquet(?) AS part"
    return int(reader.execute(sql, [str(place)]).fetchall()[0][0])
