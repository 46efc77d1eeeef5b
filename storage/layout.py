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
"""The beginnings of names in the root of what was written aside and never renamed, or removed."""
_OF_CREATION = frozenset({"migrations", "commit_fence"})
"""The tables that have rows as soon as there are tables."""


@dataclass(frozen=True)
class Layout:
    """The paths of a store's files.

    Attributes:
        root: the folder that has store.toml; only what one host needs is always there.
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
        """The catalog of a store that has it in its own folder."""
        return SqliteBackend(self.root / "catalog.sqlite")

    @property
    def backend(self) -> Backend:
        """The database that has the catalog."""
        if self.catalog_address == SQLITE:
            return self.sqlite
        return PostgresBackend(self.catalog_address, self.catalog_schema)

    @property
    def journal(self) -> Path:
        """The journal of a catalog in the store's own folder."""
        return self.root / "journal.jsonl"

    @property
    def catalog(self) -> CatalogPlace:
        """The place of the catalog, with which it is opened."""
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
        """The file that names the store whose data these are: two stores would delete each other's files."""
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
        """Return the name of a file of the store in reports: its path in the folder, or below the data path."""
        return str(path).removeprefix(f"{self.data}/").removeprefix(f"{self.root}/")

    def make_folders(self) -> None:
        """Make the root and all folders, for their owner only."""
        make_folder(self.root)
        for folder in self.folders:
            make_folder(folder)

    def has_foreign_files(self) -> bool:
        """Return whether the root holds anything but the files of a store whose making was cut off."""
        if not self.root.exists():
            return False
        databases = ("catalog.sqlite", "claims.sqlite")
        ours = {f"{name}{suffix}" for name in databases for suffix in ("", "-wal", "-shm", "-journal")}
        ours |= {"commit.lock", "journal.jsonl", "tables", "arrays", "policies", "checkpoints"}
        names = (path.name for path in self.root.iterdir())
        return not self.root.is_dir() or any(name not in ours and not name.startswith(ASIDE) for name in names)

    def has_data(self) -> bool:
        """Return whether there are files that only a store has which was used: rows, arrays, policies, checkpoints."""
        if any(entries(folder) for folder in (self.arrays, self.policies, self.checkpoints)):
            return True
        return any(entries(table) for table in entries(self.tables / "main") if table.name not in _OF_CREATION)


def check_path(layout: Layout) -> None:
    """Refuse paths that DuckLake reads otherwise than the system does: it takes a backslash for a separator.

    Raises:
        StorePlaceError: naming the path.
    """
    for place in (layout.root, layout.data):
        if "\\" in str(place):
            raise StorePlaceError(
                f"a store cannot be written in {place}, whose path has a backslash; name another folder"
            )


def check_place(layout: Layout, uuid: str) -> None:
    """Refuse a place in which a store that is written to would lose data.

    Raises:
        StorePlaceError: a SQLite catalog on a network file system, or a path that ``check_path`` refuses.
        StoreExistsError: the data path is that of another store: a vacuum of one would delete the other's files.
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
