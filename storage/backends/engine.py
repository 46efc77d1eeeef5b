"""DuckDB databases: one for the process, with the extensions that catalogs need, and closed ones for queries.

The extensions come as wheels and are loaded from the installed files: an install needs no second download, and nothing
is written to the home folder. One database serves all stores of a process, since loading takes half a second.
"""

from __future__ import annotations

import functools
import importlib.util
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb

from molbuffer.storage.errors import ExtensionError
from molbuffer.storage.files import ObjectPath, Place, credentials, server

ENGINE_SETTINGS: Mapping[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    # Without this, a name in SQL that is no table is looked up among the caller's Python variables.
    "python_enable_replacements": False,
    # The system caches local files, and frees the cache when memory is short. DuckDB would cache them a second time,
    # with 150 KB for each small file, up to most of the memory: 5 GB where 30,000 files were merged.
    "enable_external_file_cache": False,
}

CLOSED_SETTINGS: Mapping[str, str | bool | int | float | list[str]] = {
    **ENGINE_SETTINGS,
    "temp_directory": "",
    "max_temp_directory_size": "0B",
}
"""The settings of a database that writes nothing to the disk."""

SESSION: tuple[str, ...] = ("SET GLOBAL TimeZone = 'UTC'", "SET GLOBAL Calendar = 'gregorian'")
"""The first statements of every database, so that its answers do not depend on the machine.

DuckDB takes the time zone and the calendar from the environment. A TIMESTAMP that is compared with a TIMESTAMPTZ means
another moment in each zone, and in a Thai locale years count from 543 BC.
"""


_SAID_OF_CONNECTIONS = re.compile(r"""(postgres(?:ql)?://[^\s?"']*)\?[^\s"']*""")


def quote(text: str) -> str:
    """Return a text as a SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def quote_name(name: str) -> str:
    """Return the name of a table, column or database as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def one_line(message: object) -> str:
    """Return the first part of a DuckDB error as one line.

    The excerpt of the statement below it, the connection options in the address of a database, and advice to use
    DuckDB's internal tables, which a query may not read, are left out.
    """
    said = " ".join(str(message).split("\n\n")[0].split())
    return _ADVICE_OF_THE_ENGINE.sub("", _SAID_OF_CONNECTIONS.sub(r"\1", said))


_ADVICE_OF_THE_ENGINE = re.compile(r' Did you mean "(?:pg_|duckdb_|sqlite_|information_schema)[^"]*"\?')


def closed_connection(settings: Mapping[str, str] | None = None) -> duckdb.DuckDBPyConnection:
    """Return a connection to a new database in memory, without extensions or files; the caller closes it."""
    connection = duckdb.connect(":memory:", config=dict(CLOSED_SETTINGS) | dict(settings or {}))
    for statement in SESSION:
        connection.execute(statement)
    return connection


@functools.cache
def engine(process_id: int) -> duckdb.DuckDBPyConnection:
    """Return the DuckDB database of a process.

    Args:
        process_id: the number of this process, so that a forked process does not use its parent's database.
    """
    # A commit is dozens of tiny statements on the catalog's tables; several threads double its time.
    database = duckdb.connect(":memory:", config=dict(ENGINE_SETTINGS) | {"threads": 1})
    for statement in SESSION:
        database.execute(statement)
    load(database, "ducklake")
    # If two transactions began at one snapshot, DuckLake would repeat the later COMMIT after the earlier one, although
    # the result of its look-ups (is this build stored already?) may have changed.
    database.execute("SET GLOBAL ducklake_max_retry_count = 0")
    return database


def reach(connection: duckdb.DuckDBPyConnection, place: Place) -> None:
    """Let a connection's database read and write Parquet files at a place.

    Raises:
        ExtensionError: the place needs DuckDB's extension httpfs, which cannot be loaded.
        StorePlaceError: the place needs credentials, which the environment does not have.
    """
    statements = reach_statements(place)
    if statements:
        load(connection, "httpfs")
    for statement in statements:
        connection.execute(statement)


def reach_statements(place: Place) -> list[str]:
    """Return the statements after which any database reads and writes Parquet files at a place; none for a folder.

    Raises:
        StorePlaceError: the place needs credentials, which the environment does not have.
    """
    if isinstance(place, Path):
        return []
    options = credentials(place) | server()
    name = re.sub(r"\W", "_", str(place))
    file = _extension_file("httpfs")
    return [
        f"LOAD {quote(str(file)) if file else 'httpfs'}",
        # httpfs copies credentials from the environment into settings that every query can read; a secret hides them.
        *(f"SET GLOBAL s3_{setting} = ''" for setting in ("access_key_id", "secret_access_key", "session_token")),
        f"CREATE OR REPLACE SECRET {name} (TYPE s3, {_secret_options(str(place), options)})",
        # Files of a server are cached, so that they are not read twice.
        "SET GLOBAL enable_external_file_cache = true",
    ]


def object_secrets(place: ObjectPath, path: str) -> tuple[str, str]:
    """Return two statements: one lets a database reach a place by another path, the other prevents it.

    Raises:
        StorePlaceError: the place needs credentials, which the environment does not have.
    """
    name = re.sub(r"\W", "_", path)
    create = f"CREATE OR REPLACE SECRET {name} (TYPE s3, {{}})"
    there = _secret_options(path, credentials(place) | server())
    # No program listens at this port, and no request leaves the machine.
    nowhere = _secret_options(path, {"KEY_ID": "-", "SECRET": "-", "ENDPOINT": "127.0.0.1:1", "USE_SSL": "false"})
    return create.format(there), create.format(nowhere)


def reach_sql(place: Place) -> str:
    """Return the statements with which a user's own DuckDB reaches a place, with the user's credentials."""
    if isinstance(place, Path):
        return ""
    options = {"PROVIDER": "credential_chain", **server()}
    return f"{load_sql(['httpfs', 'aws'])}\nCREATE SECRET (TYPE s3, {_secret_options(str(place), options)});\n"


def _secret_options(path: str, options: Mapping[str, str | None]) -> str:
    """Return the options of a DuckDB secret whose scope is the objects below a path."""
    given = {"SCOPE": f"{path}/", **options}
    return ", ".join(f"{name} {quote(value)}" for name, value in given.items() if value)


def load(database: duckdb.DuckDBPyConnection, name: str) -> None:
    """Load an extension from its installed wheel, or have DuckDB download it if there is no wheel.

    Raises:
        ExtensionError: the extension can neither be loaded nor installed.
    """
    try:
        file = _extension_file(name)
        if file:
            database.execute(f"LOAD {quote(str(file))}")
        else:
            database.install_extension(name)
            database.load_extension(name)
    except duckdb.Error as error:
        raise ExtensionError(
            f"DuckDB {duckdb.__version__} cannot load its extension {name!r}: {error}. Install it with "
            f"`pip install duckdb-extension-{name.replace('_', '-')}=={duckdb.__version__}`"
        ) from error


def load_sql(names: Sequence[str]) -> str:
    """Return the statements with which a user's own DuckDB loads extensions, one line for each.

    Extensions are loaded from the wheels of this environment; only those without a wheel are downloaded.
    """
    return "\n".join(map(_load_statements, names))


def _load_statements(name: str) -> str:
    if (file := _extension_file(name)) is not None:
        return f"LOAD {quote(str(file))};"
    extension = name.removesuffix("_scanner")
    return f"INSTALL {extension}; LOAD {extension};"


def _extension_file(name: str) -> Path | None:
    """Return the file of an extension that a wheel has installed; None without the wheel."""
    spec = importlib.util.find_spec(f"duckdb_extension_{name}")
    folders = (spec.submodule_search_locations if spec else None) or []
    pattern = f"extensions/v{duckdb.__version__}/*.duckdb_extension"
    return next((file for folder in folders for file in Path(folder).glob(pattern)), None)
