"""The paths of a store's files, and which places cannot hold a store."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from molbuffer.storage.backends import Backend, CatalogPlace, PostgresBackend, SqliteBackend, refuse_network_file_system
from molbuffer.storage.errors import StoreExistsError, StorePlaceError
from molbuffer.storage.files import Place, entries, make_folder, place_at, write_private

SQLITE = "sqlite:catalog.sqlite"
"""The address of a catalog in the store's own folder."""
HERE = "."
"""The data path of a store that has everything in its own folder."""
DEFAULT_SCHEMA = "molbuffer"
OWNER = "molbuffer-store.json"
BACKUP_COPY = ".molbuffer-backup-"
"""The beginning of the names of folders in the root in which a backup copies the catalog."""
ASIDE = (".store.toml.", ".journal.jsonl.", BACKUP_COPY)
"""The beginnings of the names of temporary files and folders in the root, which a killed process leaves behind."""
_OF_CREATION = frozenset({"migrations", "commit_fence"})
"""The tables that have rows as soon as the catalog is created."""


@dataclass(frozen=True)
class Layout:
    """The paths of a store's files.

    Attributes:
        root: the folder with store.toml and the files that belong to one host.
        catalog_address: the address of the catalog, as in ``Description``.
        catalog_schema: the schema of the catalog's database, as in ``Description``.
        data_path: the place of the shared files, relative to the root.
    """

    root: Path
    catalog_address: str = SQLITE
    catalog_schema: str = DEFAULT_SCHEMA
    data_path: str = HERE

    @property
    def description(self) -> Path:
        return self.root / "store.toml"

    @property
    def sqlite(self) -> SqliteBackend:
        """The SQLite catalog in the folder of the store."""
        return SqliteBackend(self.root / "catalog.sqlite")

    @property
    def backend(self) -> Backend:
        """The database that has the catalog."""
        if self.catalog_address == SQLITE:
            return self.sqlite
        return PostgresBackend(self.catalog_address, self.catalog_schema)

    @property
    def journal(self) -> Path:
        """The journal of a SQLite catalog in the folder of the store."""
        return self.root / "journal.jsonl"

    @property
    def catalog(self) -> CatalogPlace:
        """The database of the catalog with the places of its tables and of the store, for opening it."""
        return CatalogPlace(self.backend, self.tables, self.root)

    @property
    def data(self) -> Place:
        """The place of tables, arrays, policies and checkpoints."""
        if self.data_path == HERE:
            return self.root
        return place_at(self.data_path, self.root)

    @property
    def tables(self) -> Place:
        return self.data / "tables"

    @property
    def arrays(self) -> Place:
        return self.data / "arrays"

    @property
    def policies(self) -> Place:
        return self.data / "policies"

    @property
    def checkpoints(self) -> Place:
        return self.data / "checkpoints"

    @property
    def owner(self) -> Place:
        """The file that names the store to which the data belong, since two stores would delete each other's files."""
        return self.data / OWNER

    @property
    def backups(self) -> Place:
        return self.data / "backups"

    @property
    def handed_over(self) -> Path:
        """The folder of scores that wait to be committed, on this host."""
        return self.root / "handed-over"

    @property
    def folders(self) -> tuple[Place, ...]:
        """The folders of the shared files."""
        return (self.tables, self.arrays, self.policies, self.checkpoints)

    def name_of(self, path: Place) -> str:
        """Return the name of a file in reports: its path relative to the data path or to the folder of the store."""
        return str(path).removeprefix(f"{self.data}/").removeprefix(f"{self.root}/")

    def make_folders(self) -> None:
        """Make the root and all folders, for their owner only."""
        make_folder(self.root)
        for folder in self.folders:
            make_folder(folder)

    def has_foreign_files(self) -> bool:
        """Return whether the root has anything other than the files of a store whose creation was interrupted."""
        if not self.root.exists():
            return False
        databases = ("catalog.sqlite", "claims.sqlite")
        ours = {f"{name}{suffix}" for name in databases for suffix in ("", "-wal", "-shm", "-journal")}
        ours |= {"commit.lock", "journal.jsonl", "tables", "arrays", "policies", "checkpoints"}
        names = (path.name for path in self.root.iterdir())
        return not self.root.is_dir() or any(name not in ours and not name.startswith(ASIDE) for name in names)

    def has_data(self) -> bool:
        """Return whether there are files that only a used store has: rows, arrays, policies or checkpoints."""
        if any(entries(folder) for folder in (self.arrays, self.policies, self.checkpoints)):
            return True
        return any(entries(table) for table in entries(self.tables / "main") if table.name not in _OF_CREATION)


def check_path(layout: Layout) -> None:
    """Refuse paths with a backslash, which DuckLake takes for a separator and the system does not.

    Raises:
        StorePlaceError: a path has a backslash.
    """
    for place in (layout.root, layout.data):
        if "\\" in str(place):
            raise StorePlaceError(
                f"a store cannot be written in {place}, whose path has a backslash; name another folder"
            )


def check_place(layout: Layout, uuid: str) -> None:
    """Refuse a place in which a store that is written to would lose data.

    Args:
        layout: the paths of the store.
        uuid: the identity of the store, which is recorded in the data path.

    Raises:
        StorePlaceError: the SQLite catalog is on a network file system, ``check_path`` refuses a path, or the data
            path cannot be written to.
        StoreExistsError: the data path belongs to another store, and a vacuum of one would delete the other's files.
    """
    check_path(layout)
    if layout.backend == layout.sqlite:
        refuse_network_file_system(layout.root)
    if layout.data_path == HERE:
        return
    said = json.dumps({"uuid": uuid}).encode()
    try:
        write_private(layout.owner, said)
    except FileExistsError:
        if layout.owner.read_bytes() != said:
            raise StoreExistsError(
                f"{layout.data} has the files of another store ({layout.owner.read_text()}); name another place"
            ) from None
    except OSError as error:
        raise StorePlaceError(f"{layout.data} cannot hold a store: {error}") from error
