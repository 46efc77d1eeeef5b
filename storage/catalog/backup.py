"""Backups of the files that can be lost or changed by one mistake: the catalog and ``store.toml``.

Before a migration one is made that only its owner removes:

    STORE/backups/schema-1-version-57/
      catalog.sqlite        as it was, without a write-ahead log
      store.toml            as it was
      files.txt             the files and folders there were, which a vacuum leaves alone as long as the backup is there
      how-to-go-back.txt    the instructions

Parquet files, segments, policies and checkpoints are never written to, so that keeping those that the old catalog names
is all that a backup of them takes.

Maintenance makes one each time, of which the last few stay, for ``molbuffer.storage.recovery``:

    STORE/backups/catalog-20261128T084452Z-version-57/
      catalog.sqlite, store.toml

It is made after what is compacted and expired, and before the vacuum: what it names is there until the next vacuum.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from molbuffer.storage.backends import PostgresBackend, copy_schema, unwritten
from molbuffer.storage.errors import CatalogDamagedError, StoreWriteError
from molbuffer.storage.files import Place, Sync, delete, entries, set_aside, system_number, write_folder
from molbuffer.storage.layout import BACKUP_COPY, Layout

FILES = "files.txt"
HOW_TO_GO_BACK = "how-to-go-back.txt"
KEPT_BACKUPS = 3
"""How many of the backups stay that maintenance makes."""
LOST = "lost-"
"""The beginning of the names of folders with what a recovery replaced."""
_ROLLING = "catalog-"
_WITHOUT_LIST = (".", _ROLLING, LOST, "journal-")

# In a process of its own: one that closed the catalog here would drop the locks that DuckDB holds on it.
_COPY = """
import contextlib, sqlite3, sys
source, target = sys.argv[1:]
try:
    with contextlib.closing(sqlite3.connect(source, uri=True, timeout=60)) as connection:
        connection.execute("VACUUM INTO ?", [target])
    with contextlib.closing(sqlite3.connect(target)) as copy:
        found = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
except sqlite3.Error as error:
    print(error, file=sys.stderr)
    # The low byte is the kind of the error.
    refused = getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
    sys.exit(3 if refused else 1)
sys.exit(None if found == "ok" else found)
"""
_DISK_REFUSED = 3
_INSTRUCTIONS = """This is the catalog of the store {root}
as it was before `molbuffer migrate`. What it names is still in the store, and stays until this folder is removed:
remove it when you are sure that you do not want to go back.

To go back:
1. End all programs that use the store. What was committed after this backup is not in it: if there is any, write it to
   a file with `molbuffer export --store DIR --out FILE` first.
2. Move catalog.sqlite, catalog.sqlite-wal, catalog.sqlite-shm and store.toml out of the store's folder. The second and
   third may not be there; if they are, none may stay, since SQLite would apply them to the old catalog.
3. Copy catalog.sqlite and store.toml from here into the store's folder.
4. Use the release of molbuffer that you used before. `molbuffer verify --store DIR` says whether all is there.
"""
_INSTRUCTIONS_POSTGRES = """The schema {backup} of the database has the catalog of the store
{root} as it was before `molbuffer migrate`. What it names is still in the store, and stays until this folder is
removed: remove it, and drop the schema, when you are sure that you do not want to go back.

To go back:
1. End all programs that use the store, on all hosts. What was committed after this backup is not in it: if there is
   any, write it to a file with `molbuffer export --store DIR --out FILE` first.
2. In psql: ALTER SCHEMA {schema} RENAME TO {schema}_new; ALTER SCHEMA {backup} RENAME TO {schema};
3. Copy store.toml from here into the store's folder, on all hosts.
4. Use the release of molbuffer that you used before. `molbuffer verify --store DIR` says whether all is there.
"""


def back_up(layout: Layout, name: str, sync: Sync) -> Place:
    """Make a backup, or leave the one of that name as it is; the caller holds the commit lock.

    Args:
        name: says which state of the catalog it is: one name, one content.

    Returns:
        Its folder, which is durable with all that is in it.

    Raises:
        StoreWriteError: the disk is full or failed; nothing was changed.
        CatalogDamagedError: the catalog is damaged, so that there is no backup of it.
    """
    folder = layout.backups / name
    if folder.exists():
        return folder
    try:
        for unfinished in entries(layout.backups):
            if unfinished.name.startswith("."):
                delete(unfinished)
        write_folder(folder, _content(layout, name), sync)
    except OSError as error:
        raise unwritten(layout.root, error) from error
    return folder


def roll_backup(layout: Layout, version: int, sync: Sync) -> Place | None:
    """Make a backup of the catalog as it is, and remove those before the last few of its kind.

    Writers go on meanwhile. A catalog in Postgres is backed up by those who run the server.

    Args:
        layout: of the store.
        version: the newest snapshot, by which the backup is named; it may have newer ones.
        sync: makes files and directories durable.

    Returns:
        Its folder, which is durable; None where the catalog is in Postgres.

    Raises:
        StoreWriteError: the disk is full or failed; the backups that were there stay.
        CatalogDamagedError: the catalog is damaged, so that there is no backup of it.
    """
    if isinstance(layout.backend, PostgresBackend):
        return None
    database = layout.sqlite.database
    folder = layout.backups / f"{_ROLLING}{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}-version-{version}"
    try:
        content = {
            database.name: _copied_catalog(database),
            layout.description.name: layout.description.read_bytes(),
        }
        write_folder(folder, content, sync)
        for old in rolling_backups(layout)[KEPT_BACKUPS:]:
            delete(set_aside(old))
        for unfinished in entries(layout.backups):
            if unfinished.name.startswith("."):
                delete(unfinished)
    except OSError as error:
        raise unwritten(layout.root, error) from error
    return folder


def rolling_backups(layout: Layout) -> list[Place]:
    """Return the folders of the backups that maintenance made, the newest first."""
    return [folder for folder in reversed(entries(layout.backups)) if folder.name.startswith(_ROLLING)]


def kept_by_backups(layout: Layout) -> set[str]:
    """Return the paths in the store of the files and folders that backups from before a migration need.

    Raises:
        OSError: a backup cannot be read.
    """
    lists = [folder / FILES for folder in entries(layout.backups) if not folder.name.startswith(_WITHOUT_LIST)]
    return {line for path in lists for line in path.read_bytes().decode().splitlines()}


def _content(layout: Layout, name: str) -> dict[str, bytes]:
    """Return the files of a backup. A catalog in Postgres is copied into another schema of the database."""
    files = {
        layout.description.name: layout.description.read_bytes(),
    }
    there = "".join(f"{line}\n" for line in _there(layout)).encode()
    if isinstance(layout.backend, PostgresBackend):
        schema = copy_schema(layout.backend.uri, layout.backend.schema, name)
        said = _INSTRUCTIONS_POSTGRES.format(root=layout.root, backup=schema, schema=layout.backend.schema)
    else:
        files[layout.sqlite.database.name] = _copied_catalog(layout.sqlite.database)
        said = _INSTRUCTIONS.format(root=layout.root)
    # The list of files last: a vacuum heeds a backup by it, and the migration begins after it.
    return files | {HOW_TO_GO_BACK: said.encode(), FILES: there}


def _copied_catalog(database: Path) -> bytes:
    with tempfile.TemporaryDirectory(prefix=BACKUP_COPY, dir=database.parent) as folder:
        target = Path(folder) / database.name
        command = [sys.executable, "-I", "-c", _COPY, f"{database.as_uri()}?mode=ro", str(target)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return target.read_bytes()
    said = " ".join(done.stderr.split()) or f"the process that copies it ended with {done.returncode}"
    refused = done.returncode == _DISK_REFUSED
    text = (
        f"there is no backup of {database}, so nothing was changed: {said}. Free some space if the disk is full; "
        f"if the catalog is damaged, `molbuffer recover {shlex.quote(str(database.parent))}` makes it anew"
    )
    # SQLite gives no number of the system's error, but its words.
    raise StoreWriteError(text, system_number(OSError(said))) if refused else CatalogDamagedError(text)


def _there(layout: Layout) -> Iterator[str]:
    """Yield the paths of all that a snapshot may name, and of what is just being written."""
    for table in entries(layout.tables / "main"):
        yield from (layout.name_of(path) for path in entries(table) if path.suffix == ".parquet")
    yield from (layout.name_of(path) for path in entries(layout.arrays))
    yield from (layout.name_of(path) for path in entries(layout.policies))
    for run in entries(layout.checkpoints):
        yield from (layout.name_of(path) for path in entries(run))
