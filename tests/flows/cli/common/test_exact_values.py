"""Every value that a query can give comes out of the command exactly, in every format, or the query is refused.

A value that was written is read back by DuckDB, cast to the type that it had, and compared with the value there.
"""

import json
from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner

from molbuffer.flows.cli import app
from molbuffer.flows.cli.common.output import table
from molbuffer.storage import SampleStore

TEXT, HEX = "CAST({text} AS {kind})", "unhex({text})"
# DuckDB reads no BIT from JSON.
JSON = "CAST(CAST({text}::JSON AS {texts}) AS {kind})"

EXACT = {
    # An expression, and how its value is read in a text.
    "true": TEXT,
    "'-128'::TINYINT": TEXT,
    "9223372036854775807": TEXT,
    "18446744073709551615::UBIGINT": TEXT,
    "-99999999999999999999999999999999999999::HUGEINT": TEXT,
    "99999999999999999999999999999999999999::UHUGEINT": TEXT,
    "12345678901234567890123456789012345678901234567890::BIGNUM": TEXT,
    "1234567890123456789012345678.0123456789::DECIMAL(38, 10)": TEXT,
    "0.1::FLOAT": TEXT,
    "0.1::DOUBLE + 0.2::DOUBLE": TEXT,
    "1.7976931348623157e308::DOUBLE": TEXT,
    "5e-324::DOUBLE": TEXT,
    "'nan'::DOUBLE": TEXT,
    "'-inf'::DOUBLE": TEXT,
    "'a\"é,''b'": TEXT,
    "''": TEXT,
    "'\\x00\\xFF'::BLOB": HEX,
    "DATE '0001-01-01'": TEXT,
    "DATE '9999-12-31'": TEXT,
    "TIME '23:59:59.999999'": TEXT,
    "TIME_NS '23:59:59.999999999'": TEXT,
    "TIMESTAMP '9999-12-31 23:59:59.999999'": TEXT,
    "TIMESTAMP_S '2020-01-01 00:00:01'": TEXT,
    "TIMESTAMP_MS '2020-01-01 00:00:01.001'": TEXT,
    "TIMESTAMP_NS '2020-01-01 00:00:00.123456789'": TEXT,
    "TIMESTAMPTZ '2020-01-01 00:00:00.000001+02'": TEXT,
    "TIMETZ '12:00:00+02:30'": TEXT,
    "TIMETZ '24:00:00+02'": TEXT,
    "'00101'::BIT": TEXT,
    "INTERVAL '1 month 2 days 3 microseconds'": TEXT,
    "'6bd548b2-0ce5-4414-b3c2-a844dea5ceae'::UUID": TEXT,
    "'b'::ENUM('a', 'b')": TEXT,
    "[1, NULL, 3]": JSON,
    "[NULL, 'nan'::DOUBLE, '-inf'::DOUBLE]": JSON,
    "[1, 2]::TINYINT[2]": JSON,
    "MAP {'a': '101'::BIT, 'b\"': NULL}": JSON,
    "MAP {1: [DATE '2020-01-01'], 2: NULL}": JSON,
    "MAP {DATE '2020-01-01': 0.1::DOUBLE}": JSON,
    "[{'at': '12:00:00+02:30'::TIMETZ, 'b c': [NULL, '101'::BIT]}, NULL, {'at': NULL, 'b c': []}]": JSON,
    "[TIMESTAMP '2020-01-01 00:00:00.000001', NULL]": JSON,
    "{'n': [99999999999999999999999999999999999999::UHUGEINT]}": JSON,
    "{'x': 0.10::DECIMAL(20, 2), 'y': 1234567890123456.78::DECIMAL(18, 2)}": JSON,
}

REFUSED = [
    "100000000000000000000000000000000000000::HUGEINT",
    "340282366920938463463374607431768211455::UHUGEINT",
    "[340282366920938463463374607431768211455::UHUGEINT]",
    "TIME '24:00:00'",
    "[{'at': TIME '24:00:00'}]",
    "DATE '0044-03-15 (BC)'",
    "DATE '10000-01-01'",
    "[NULL, DATE 'infinity']",
    "TIMESTAMP 'infinity'",
    "TIMESTAMP '-infinity'",
    "TIMESTAMPTZ 'infinity'",
    "TIMESTAMPTZ '0044-03-15 (BC) 00:00:00+00'",
    "TIMESTAMP_S '10000-01-01 00:00:00'",
    "TIMESTAMP_MS '10000-01-01 00:00:00'",
    "MAP {DATE '10000-01-01': 1}",
    "MAP {[1]: 1}",
    "union_value(num := 1)",
    "{'a': 1}::VARIANT",
    "row(1, 2)",
]


def run(store: Path, sql: str, out: Path) -> int:
    done = CliRunner().invoke(app, ["query", "--store", str(store), "--out", str(out), "--format", out.suffix[1:], sql])
    assert done.exit_code == 0 or done.stderr.startswith("error: ")
    return done.exit_code


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exact") / "store"
    SampleStore.create(path).close()
    return path


@pytest.fixture(scope="module")
def back(store: Path, tmp_path_factory: pytest.TempPathFactory) -> duckdb.DuckDBPyConnection:
    """A database with what was written in each format: all values in a row, and nulls of their types in another."""
    folder = tmp_path_factory.mktemp("written")
    columns = ", ".join(f"{sql} AS c{number}" for number, sql in enumerate(EXACT))
    one = f"(SELECT 0 AS j, {columns}) AS rows"
    sql = f"SELECT rows.* EXCLUDE j FROM range(2) AS r(i) LEFT JOIN {one} ON i = j ORDER BY i"
    for form in ("csv", "json", "jsonl", "parquet"):
        assert run(store, sql, folder / f"rows.{form}") == 0
    with SampleStore.open(store, read_only=True) as opened:
        rows = opened.query(sql)
    cells = [
        {name: table([name], [[value]], exact=True).splitlines()[1:] for name, value in row.items()}
        for row in rows.to_dicts()
    ]
    database = duckdb.connect()
    database.execute("SET TimeZone = 'UTC'")
    texts = {
        "csv": [dict(zip(rows.columns, row, strict=True)) for row in _csv(folder / "rows.csv")],
        "json": json.loads((folder / "rows.json").read_text(), parse_float=str, parse_int=str),
        "jsonl": [
            json.loads(line, parse_float=str, parse_int=str)
            for line in (folder / "rows.jsonl").read_text().splitlines()
        ],
        # The first line below the name is a rule; a cell that is empty leaves no line.
        "cells": [{name: "".join(lines[1:]).strip() for name, lines in row.items()} for row in cells],
    }
    for form, found in texts.items():
        database.execute(f"CREATE TABLE {form} ({', '.join(f'{name} VARCHAR' for name in rows.columns)})")
        values = [[_text(row[name]) for name in rows.columns] for row in found]
        database.executemany(f"INSERT INTO {form} VALUES ({', '.join('?' * len(EXACT))})", values)
    database.execute(f"CREATE TABLE parquet AS FROM '{folder}/rows.parquet'")
    return database


def _csv(file: Path) -> list[tuple[str | None, ...]]:
    quoted = "all_varchar = true, header = true, allow_quoted_nulls = false"
    return duckdb.sql(f"FROM read_csv('{file}', {quoted})").fetchall()


def _text(value: object) -> str | None:
    """Return a value as DuckDB reads it: JSON with numbers as texts, for it takes those of JSON for floats."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        value = json.loads(value, parse_float=str, parse_int=str)
    return value if value is None or isinstance(value, str) else json.dumps(value)


@pytest.mark.parametrize(("number", "sql"), list(enumerate(EXACT)), ids=list(EXACT))
@pytest.mark.parametrize("form", ["csv", "json", "jsonl", "parquet", "cells"])
def test_a_value_is_the_same_in_every_format(back: duckdb.DuckDBPyConnection, form: str, number: int, sql: str) -> None:
    kind = back.execute(f"SELECT typeof({sql})").fetchone()[0]
    name = f"c{number}"
    reading = EXACT[sql] if form != "parquet" else "{text}" if EXACT[sql] is HEX else TEXT
    value = reading.format(text=name, kind=kind, texts=kind.replace("BIT", "VARCHAR"))
    same = f"{value} IS NOT DISTINCT FROM ({sql})"
    found = back.execute(f"SELECT {same}, {name}, {value}::VARCHAR FROM {form} LIMIT 1").fetchone()
    assert found[0], found
    assert back.execute(f"SELECT {name} FROM {form} OFFSET 1").fetchone() == ("" if form == "cells" else None,)


@pytest.mark.parametrize("sql", REFUSED)
def test_a_value_that_a_format_would_change_is_refused_before_anything_is_written(store: Path, sql: str) -> None:
    for form in ("csv", "parquet"):
        out = store.parent / f"refused.{form}"
        assert run(store, f"SELECT 1 AS x, {sql} AS y", out) == 1
        assert not out.exists()


def test_a_value_that_is_refused_can_be_had_as_a_text(store: Path) -> None:
    texts = ", ".join(f"({sql})::VARCHAR AS c{number}" for number, sql in enumerate(REFUSED))
    assert run(store, f"SELECT {texts}", store.parent / "texts.csv") == 0
