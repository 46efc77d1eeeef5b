"""Names, types and values of a catalog are names, types and values of SQL, whoever wrote them."""

import os
import sqlite3
from contextlib import closing, suppress

import duckdb
import pytest

from molbuffer.storage import SampleStore
from molbuffer.storage.backends.engine import closed_connection, quote, quote_name
from molbuffer.storage.catalog.parquet.parquet_files import Column, TableFiles
from molbuffer.storage.catalog.schema.migrations import MIGRATIONS
from molbuffer.storage.description import Description
from molbuffer.storage.errors import StoreError, StoreFormatError
from molbuffer.storage.records import Commit
from molbuffer.storage.verify.verify import verify_store

NAMES = ["a", 'a"b', "a'b", '"; DROP TABLE x; --', "sélect", "a b", '""', "x) FROM y"]


@pytest.mark.parametrize("name", NAMES)
def test_a_quoted_name_is_that_name(name):
    with closing(closed_connection()) as connection:
        connection.execute(f"CREATE TABLE {quote_name(name)} ({quote_name(name)} VARCHAR)")
        connection.execute(f"INSERT INTO {quote_name(name)} VALUES ({quote(name)})")
        found = connection.execute(f"SELECT {quote_name(name)} FROM {quote_name(name)}")
        assert ([column[0] for column in found.description], found.fetchall()) == ([name], [(name,)])


@pytest.mark.parametrize(
    "kind", ["BIGINT) FROM x", "VARCHAR; SELECT 1", "", "int32 AS y", "VARCHAR[]", 'x"y', "int32\n"]
)
def test_a_type_that_is_none_is_refused(kind):
    with pytest.raises(StoreFormatError, match="'x'"):
        Column("x", kind)


@pytest.mark.parametrize("name", NAMES)
def test_columns_of_any_name_are_read_by_that(tmp_path, name):
    path = tmp_path / "odd ' name.parquet"
    column = Column(name, "VARCHAR", "it's")
    with closing(closed_connection()) as connection:
        written = f"COPY (SELECT 'x' AS {quote_name(name)}) TO {quote(str(path))} (FIELD_IDS {{{quote_name(name)}: 7}})"
        connection.execute(written)
        files = TableFiles({7: column, 8: Column("later", "BIGINT", "5")}, (path,), (path,), 1)
        for source in (TableFiles(files.columns, (path,), (), 1), TableFiles(files.columns, (), (), 0)):
            found = connection.execute(source.select(3))
            assert [of[0] for of in found.description] == [name, "later"]
            assert found.fetchall() == ([("x", 5)] if source.paths else [])
        assert connection.execute(f"SELECT {column.default_sql}").fetchall() == [("it's",)]


HOSTILE = {
    "a column's name": "UPDATE ducklake_column SET column_name = 'raw\" FROM read_text(''{outside}'') --' "
    "WHERE column_name = 'raw'",
    "a column's name that ends a record": "UPDATE ducklake_column SET column_name = 'raw''}}) "
    "UNION ALL SELECT content FROM read_text(''{outside}'') --' WHERE column_name = 'raw'",
    "a column's type": "UPDATE ducklake_column SET column_type = 'varchar) FROM read_text(''{outside}'') --' "
    "WHERE column_name = 'raw'",
    "a column's default": "UPDATE ducklake_column SET initial_default = '0'' AS BIGINT), (SELECT content FROM "
    "read_text(''{outside}'')) --' WHERE column_name = 'readmitted'",
    "a table's name": "UPDATE ducklake_table SET table_name = 'scores\" FROM read_text(''{outside}'') --' "
    "WHERE table_name = 'scores'",
    "a file's name": "UPDATE ducklake_data_file SET path = 'x''], schema = MAP {{}}) FROM read_text(''{outside}'') --'",
}


@pytest.mark.parametrize("sql", HOSTILE.values(), ids=HOSTILE)
def test_a_catalog_of_somebody_else_reads_nothing_outside(started, make, tmp_path, sql):
    outside = tmp_path / "outside"
    outside.write_text("a secret of the victim")
    started.commit(Commit([make.make_build(0)]))
    version = started.snapshot()
    started.close()
    with closing(sqlite3.connect(started.path / "catalog.sqlite")) as catalog, catalog:
        catalog.execute(sql.format(outside=outside))
        # A later column, so that SQL is made of what the catalog says of it.
        catalog.execute("UPDATE ducklake_column SET begin_snapshot = 1000 WHERE column_name = 'readmitted'")
    said = []
    with suppress(StoreError, duckdb.Error):
        said.append(str(verify_store(started.path)))
    with suppress(StoreError, duckdb.Error), SampleStore.open(started.path, read_only=True) as store:
        for read in (
            lambda: store.query("FROM samples"),
            lambda: store.query("FROM sample_history"),
            lambda: store.read_arrow("FROM {samples}"),
            lambda: store.read_arrow("FROM {builds} AS builds", snapshot=version),
            lambda: store.at(version).receipts("run-1"),
        ):
            try:
                said.append(str(read()))
            except (StoreError, duckdb.Error) as error:
                said.append(str(error))
    assert "secret" not in "".join(said)
    assert outside.read_text() == "a secret of the victim"


TOML = {
    "forty kilobytes of dotted keys": ".".join("a" for _ in range(20_000)) + " = 1",
    "a number without end": "format = inf\nuuid = '0b9e7c9c-7a3e-4a0e-9d0a-000000000000'\n"
    "catalog = 'sqlite:catalog.sqlite'\ndata_path = '.'",
    "deep": "a = " + "[" * 4_000,
    "no text": "\x00",
}


@pytest.mark.parametrize("text", TOML.values(), ids=TOML)
def test_a_description_that_no_store_has_is_refused(tmp_path, text):
    (tmp_path / "store.toml").write_text(text)
    with pytest.raises(StoreFormatError, match=r"store\.toml"):
        Description.read(tmp_path / "store.toml")


@pytest.mark.parametrize("odd", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), lambda path: path.mkdir()])
def test_a_description_that_is_no_plain_file_is_not_read(tmp_path, odd):
    odd(tmp_path / "store.toml")
    with pytest.raises(StoreFormatError, match=r"store\.toml"):
        Description.read(tmp_path / "store.toml")


def test_a_description_may_be_a_link_to_one(started, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "store.toml").symlink_to(started.path / "store.toml")
    assert Description.read(tmp_path / "elsewhere" / "store.toml").uuid == started.uuid


def test_the_schema_of_this_release_has_types_that_can_be_written():
    from molbuffer.storage.archive.tables import arrow_schema, columns_of

    for columns in columns_of(MIGRATIONS).values():
        assert arrow_schema(columns).names == [column.name for column in columns]
