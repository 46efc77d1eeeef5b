"""Where things lie in a store's folder, and its description ``store.toml``."""

from __future__ import annotations

import json
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

from molbuffer.storage.backends.attachment import CatalogPlace
from molbuffer.storage.backends.base import Backend, PostgresBackend, SqliteBackend
from molbuffer.storage.backends.postgres import check_address, settle
from molbuffer.storage.errors import StoreExistsError, StoreFormatError, StoreNotFoundError, StorePlaceError
from molbuffer.storage.files.durable import Sync
from molbuffer.storage.files.places import PRIVATE_FILE, Place, make_folder, place_at

FORMAT = 1
"""The number of the layout that this release reads and writes."""

SQLITE = "sqlite:catalog.sqlite"
"""The address of a catalog in the store's own folder."""
HERE = "."
"""The data path of a store that has everything in its own folder."""
DEFAULT_SCHEMA = "molbuffer"
OWNER = "molbuffer-store.json"

# SQLite's write-ahead log needs memory shared between all readers and writers: on these, a catalog is lost silently.
_NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "lustre", "gpfs", "beegfs", "9p"}
    | {"fuse.sshfs", "fuse.glusterfs", "fuse.s3fs"}
)
_MOUNTS = Path("/proc/self/mountinfo")


@dataclass(frozen=True)
class Layout:
    """Where things lie that belong to a store.

    Attributes:
        root: the folder that has store.toml; only what one host needs is always there.
        catalog_address, catalog_schema: as of ``Description``. data_path: of what is shared, relative to the root.
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
        """Where the catalog is."""
        if self.catalog_address == SQLITE:
            return self.sqlite
        return PostgresBackend(self.catalog_address, self.catalog_schema)

    @property
    def catalog(self) -> CatalogPlace:
        """What a catalog is opened with."""
        return CatalogPlace(self.backend, self.tables, self.root)

    @property
    def data(self) -> Place:
        """Where tables, arrays, policies and checkpoints are."""
        if self.data_path == HERE:
            return self.root
        place = place_at(self.data_path)
        return self.root / place if isinstance(place, Path) else place

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
        """Says whose files these are, where they are apart from store.toml: two stores would delete each other's."""
        return self.data / OWNER

    @property
    def backups(self) -> Place:
        return self.data / "backups"

    @property
    def folders(self) -> tuple[Place, ...]:
        """The folders of the shared files."""
        return (self.tables, self.arrays, self.policies, self.checkpoints)

    def name_of(self, path: Place) -> str:
        """What a file of the store is called in reports: its path in the folder, or below the data path."""
        return str(path).removeprefix(f"{self.data}/").removeprefix(f"{self.root}/")

    def make_folders(self) -> None:
        """Makes the root and all folders, for their owner only."""
        make_folder(self.root)
        for folder in self.folders:
            make_folder(folder)

    def has_foreign_files(self) -> bool:
        """Whether the root holds anything but what a store that was never finished left there."""
        if not self.root.exists():
            return False
        ours = {"catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm", "commit.lock", "claims.sqlite"}
        ours |= {"tables", "arrays", "policies", "checkpoints"}
        names = (path.name for path in self.root.iterdir())
        return not self.root.is_dir() or any(name not in ours and not name.startswith(".store.toml.") for name in names)


@dataclass(frozen=True)
class Description:
    """What ``store.toml`` says.

    Attributes:
        archive: whether the store is an archive, to which nothing is ever added.
        catalog: ``sqlite:catalog.sqlite``, or the address of a Postgres database.
        catalog_schema: of that database. data_path: where tables, arrays, policies and checkpoints are: a folder,
            relative to the store's, or s3://bucket/prefix.
    """

    uuid: str
    format: int = FORMAT
    archive: bool = False
    catalog: str = SQLITE
    catalog_schema: str = DEFAULT_SCHEMA
    data_path: str = HERE

    def layout(self, root: Path) -> Layout:
        """Where things lie that belong to the store with this description in a folder."""
        return Layout(root, self.catalog, self.catalog_schema, self.data_path)

    def refusal(self, root: Path) -> str | None:
        """What an attempt to write to an archive is told; None for a store that can be written to."""
        if not self.archive:
            return None
        return (
            f"{root} is an archive, to which nothing can be added: bring it into a store with "
            f"`molbuffer merge {root} --store DIR` and write there"
        )

    def write(self, path: Path, sync: Sync) -> None:
        """Writes ``store.toml`` aside and renames it: with it, a folder becomes a store."""
        text = (
            "# A molbuffer store. The folder may be moved or copied as a whole while nothing has it open.\n"
            f"format = {self.format}\n"
            f"uuid = {_toml(self.uuid)}\n"
            f"catalog = {_toml(self.catalog)}\n"
        )
        if self.catalog != SQLITE:
            text += f"catalog_schema = {_toml(self.catalog_schema)}\n"
        text += f"data_path = {_toml(self.data_path)}\n"
        if self.archive:
            text += "# Its files are listed in checksums.json; `molbuffer merge` brings its rows into a store.\n"
            text += "archive = true\n"
        write_aside(path, text.encode(), sync)

    @classmethod
    def read(cls, path: Path, newest: int = FORMAT) -> Description:
        """Reads ``store.toml``, also that of an older format.

        Args:
            newest: the newest format that is known.

        Raises:
            StoreNotFoundError: there is none.
            StoreFormatError: it is damaged, or of a newer release.
        """
        try:
            said = tomllib.loads(path.read_text())
            found = cls(
                # The decoded cache has a folder of this name, so that a name that is no uuid could lead out of it.
                str(UUID(said["uuid"])),
                int(said["format"]),
                archive=bool(said.get("archive", False)),
                catalog=str(said["catalog"]),
                catalog_schema=str(said.get("catalog_schema", DEFAULT_SCHEMA)),
                data_path=str(said["data_path"]),
            )
            if found.format < 1:
                raise ValueError(f"there is no format {found.format}")
        except (FileNotFoundError, NotADirectoryError) as error:
            raise StoreNotFoundError(f"{path.parent} is no store: it has no store.toml") from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise StoreFormatError(f"{path} is damaged: {error!r}; restore it from a backup") from error
        if found.format > newest:
            raise StoreFormatError(
                f"the store {path.parent} has format {found.format}, this release reads {newest}: update molbuffer"
            )
        found.check(path)
        return found

    def check(self, path: Path) -> None:
        """Refuses addresses that are none, and an archive whose parts are not all in its folder.

        Raises:
            StoreFormatError: naming the file and what is wrong.
        """
        try:
            if self.catalog != SQLITE:
                check_address(self.catalog, self.catalog_schema)
            place_at(self.data_path)
        except StorePlaceError as error:
            raise StoreFormatError(f"{path}: {error}") from error
        if self.archive and (self.catalog, self.data_path) != (SQLITE, HERE):
            raise StoreFormatError(f"{path} is of an archive, and names a catalog or files outside of its folder")


def _toml(text: str) -> str:
    """A text as TOML writes it: as JSON does."""
    return json.dumps(text, ensure_ascii=False)


def write_aside(path: Path, content: bytes, sync: Sync) -> None:
    """Writes a file so that a crash leaves the old one, or none, or the whole new one."""
    aside = path.with_name(f".{path.name}.{uuid4().hex}")
    write_private(aside, content)
    sync([aside])
    aside.rename(path)
    sync([path.parent])


def write_private(path: Path, content: bytes) -> None:
    """Writes a new file that only its owner may read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
    with open(descriptor, "wb") as file:
        file.write(content)


def found_store(catalog: str, schema: str, uuid: str, data_path: str) -> tuple[str, str]:
    """The uuid and data path of the store that a catalog has; of a new one, those given.

    Raises:
        StorePlaceError: the address of the catalog is none, or the store there has its data elsewhere.
        StoreError: the database cannot be reached.
    """
    if catalog == SQLITE:
        return uuid, data_path
    check_address(catalog, schema)
    place = place_at(data_path)
    if isinstance(place, Path) and not place.is_absolute():
        raise StorePlaceError(
            f"a catalog in Postgres serves several hosts, and needs data where all find it: expected "
            f"s3://bucket/prefix or the absolute path of a shared folder, got {data_path!r}"
        )
    uuid, there = settle(catalog, schema, uuid, data_path)
    if there != data_path:
        raise StorePlaceError(f"the store in schema {schema} of {catalog} has its data in {there}, not in {data_path}")
    return uuid, there


def check_place(layout: Layout, uuid: str) -> None:
    """Refuses a place in which a store that is written to would lose data.

    Raises:
        StorePlaceError: a SQLite catalog on a network file system.
        StoreExistsError: the data path is that of another store: a vacuum of one would delete the other's files.
    """
    if layout.backend == layout.sqlite:
        refuse_network_file_system(layout.root)
    if layout.data_path == HERE:
        return
    said = json.dumps({"uuid": uuid}).encode()
    try:
        if isinstance(layout.owner, Path):
            write_private(layout.owner, said)
        else:
            layout.owner.write_bytes(said, new=True)
    except FileExistsError:
        if layout.owner.read_bytes() != said:
            raise StoreExistsError(
                f"{layout.data} has the files of another store ({layout.owner.read_text()}); name another place"
            ) from None
    except OSError as error:
        raise StorePlaceError(f"{layout.data} cannot hold a store: {error}") from error


def refuse_network_file_system(path: Path) -> None:
    """Refuses a place in which SQLite's write-ahead log would lose data.

    Raises:
        StorePlaceError: the path is on a network file system.
    """
    kind = file_system_of(path)
    if kind in _NETWORK_FILE_SYSTEMS:
        raise StorePlaceError(
            f"{path} is on a network file system ({kind}), on which SQLite catalogs are lost when two hosts write: "
            "put the store on a local disk (a Postgres catalog serves several hosts)"
        )


def file_system_of(path: Path, mounts: Path = _MOUNTS) -> str | None:
    """The type of the file system that holds a path; None where the system does not say (only Linux does)."""
    try:
        lines = mounts.read_text().splitlines()
    except OSError:
        return None
    best, kind = -1, None
    for line in lines:
        # mountinfo(5): the mount point is the fifth field, the type is the first one after a lone hyphen.
        before, _, after = line.partition(" - ")
        mount = Path(before.split()[4].replace("\\040", " "))
        if path.resolve().is_relative_to(mount) and len(mount.parts) >= best:
            best, kind = len(mount.parts), after.split()[0]
    return kind
