"""Backups of the files that can be lost or changed by one mistake: the catalog and ``store.toml``.

Each migration makes a backup that only its owner removes:

    STORE/backups/schema-1-version-57/
      catalog.sqlite        the old catalog, without a write-ahead log
      store.toml            the old description
      files.txt             the files and folders of the store at that time, which a vacuum keeps with the backup
      how-to-go-back.txt    the instructions

Parquet files, segments, policies and checkpoints are never changed, so that a backup only needs to keep those that the
old catalog names.

Each maintenance makes a backup for ``molbuffer.storage.recovery``, of which the last few are kept:

    STORE/backups/catalog-20261128T084452Z-version-57/
      catalog.sqlite, store.toml

It is made after compaction and expiry and before the vacuum, so that the files that it names exist until the next
vacuum.
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
"""The number of maintenance backups that are kept."""
LOST = "lost-"
"""The beginning of the names of folders with the files that a recovery has replaced."""
_ROLLING = "catalog-"
_WITHOUT_LIST = (".", _ROLLING, LOST, "journal-")

# It runs in a process of its own: closing the catalog in this process would drop the locks that DuckDB holds on it.
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
as it was before `molbuffer migrate`. The files that it names are kept in the store until this folder is removed:
remove it when you are sure that you do not want to go back.

To go back:
1. End all programs that use the store. Later commits are not in this backup: if there are any, write them to a file
   with `molbuffer export --store DIR --out FILE` first.
2. Move catalog.sqlite, catalog.sqlite-wal, catalog.sqlite-shm and store.toml out of the store's folder. The second and
   third may not exist; if they exist, move both, since SQLite would apply them to the old catalog.
3. Copy catalog.sqlite and store.toml from here into the store's folder.
4. Use the release of molbuffer that you used before. `molbuffer verify --store DIR` checks that nothing is missing.
"""
_INSTRUCTIONS_POSTGRES = """The schema {backup} of the database has the catalog of the store
{root} as it was before `molbuffer migrate`. The files that it names are kept in the store until this folder is
removed: remove it, and drop the schema, when you are sure that you do not want to go back.

To go back:
1. End all programs that use the store, on all hosts. Later commits are not in this backup: if there are any, write
   them to a file with `molbuffer export --store DIR --out FILE` first.
2. In psql: ALTER SCHEMA {schema} RENAME TO {schema}_new; ALTER SCHEMA {backup} RENAME TO {schema};
3. Copy store.toml from here into the store's folder, on all hosts.
4. Use the release of molbuffer that you used before. `molbuffer verify --store DIR` checks that nothing is missing.
"""


def back_up(layout: Layout, name: str, sync: Sync) -> Place:
    """Make a backup, unless one of the name exists; the caller must hold the commit lock.

    Args:
        layout: the paths of the store's files.
        name: the name of the backup, which identifies the state of the catalog.
        sync: makes files and directories durable.

    Returns:
        The folder of the backup, which is durable with all its files.

    Raises:
        StoreWriteError: the disk is full or failed; nothing was changed.
        CatalogDamagedError: the catalog is damaged and cannot be backed up.
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
    """Make a backup of the present catalog, and remove older maintenance backups beyond the last few.

    Writers are not blocked meanwhile. A catalog in Postgres is left to the backups of the server.

    Args:
        layout: the paths of the store's files.
        version: the newest snapshot, which names the backup; the backup may have later snapshots.
        sync: makes files and directories durable.

    Returns:
        The folder of the backup, which is durable; None if the catalog is in Postgres.

    Raises:
        StoreWriteError: the disk is full or failed; the older backups are kept.
        CatalogDamagedError: the catalog is damaged and cannot be backed up.
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
    """Return the folders of maintenance backups, the newest first."""
    return [folder for folder in reversed(entries(layout.backups)) if folder.name.startswith(_ROLLING)]


def kept_by_backups(layout: Layout) -> set[str]:
    """Return the paths in the store of the files and folders that the backups of migrations need.

    Raises:
        OSError: the list of a backup cannot be read.
    """
    lists = [folder / FILES for folder in entries(layout.backups) if not folder.name.startswith(_WITHOUT_LIST)]
    return {line for path in lists for line in path.read_bytes().decode().splitlines()}


def _content(layout: Layout, name: str) -> dict[str, bytes]:
    """Return the content of the files of a backup; a catalog in Postgres is copied to another schema instead."""
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
    # The list of files is written last: a vacuum respects a backup that has it, and the migration begins after it.
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
        f"{database} could not be backed up, and nothing was changed: {said}. Free some space if the disk is full; "
        f"if the catalog is damaged, `molbuffer recover {shlex.quote(str(database.parent))}` makes it anew"
    )
    # SQLite gives the text of the system's error without its number.
    raise StoreWriteError(text, system_number(OSError(said))) if refused else CatalogDamagedError(text)


def _there(layout: Layout) -> Iterator[str]:
    """Yield the paths of all files and folders that a snapshot may name, also of those that are being written."""
    for table in entries(layout.tables / "main"):
        yield from (layout.name_of(path) for path in entries(table) if path.suffix == ".parquet")
    yield from (layout.name_of(path) for path in entries(layout.arrays))
    yield from (layout.name_of(path) for path in entries(layout.policies))
    for run in entries(layout.checkpoints):
        yield from (layout.name_of(path) for path in entries(run))
