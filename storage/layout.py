"""Where things lie in a store's folder, and its description ``store.toml``."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

from storage.catalog import CatalogPlace, Sync
from storage.errors import StoreFormatError, StoreNotFoundError, StorePlaceError

FORMAT = 1
"""The number of the layout that this release reads and writes."""

PRIVATE_FOLDER = 0o700
PRIVATE_FILE = 0o600

# SQLite's write-ahead log needs memory shared between all readers and writers: on these, a catalog is lost silently.
_NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "lustre", "gpfs", "beegfs", "9p"}
    | {"fuse.sshfs", "fuse.glusterfs", "fuse.s3fs"}
)
_MOUNTS = Path("/proc/self/mountinfo")


@dataclass(frozen=True)
class Layout:
    """The paths of a store."""

    root: Path

    @property
    def description(self) -> Path:
        return self.root / "store.toml"

    @property
    def catalog(self) -> CatalogPlace:
        return CatalogPlace(self.root / "catalog.sqlite", self.root / "tables", self.root / "commit.lock")

    @property
    def claims(self) -> Path:
        return self.root / "claims.sqlite"

    @property
    def maintenance_lock(self) -> Path:
        return self.root / "maintenance.lock"

    @property
    def arrays(self) -> Path:
        return self.root / "arrays"

    @property
    def policies(self) -> Path:
        return self.root / "policies"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders in the root."""
        return (self.catalog.tables, self.arrays, self.policies, self.checkpoints)

    def make_folders(self) -> None:
        """Makes the root and the folders in it, for their owner only."""
        self.root.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        for folder in self.folders:
            folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)

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
    """

    uuid: str
    format: int = FORMAT
    archive: bool = False

    def refusal(self, layout: Layout) -> str | None:
        """What an attempt to write to an archive is told; None for a store that can be written to."""
        if not self.archive:
            return None
        return (
            f"{layout.root} is an archive, to which nothing can be added: bring it into a store with "
            f"`molbuffer merge {layout.root} --store DIR` and write there"
        )

    def write(self, layout: Layout, sync: Sync) -> None:
        """Writes ``store.toml`` aside and renames it: with it, a folder becomes a store."""
        text = (
            "# A molbuffer store. The folder may be moved or copied as a whole while nothing has it open.\n"
            f"format = {self.format}\n"
            f'uuid = "{self.uuid}"\n'
            'catalog = "sqlite:catalog.sqlite"\n'
            'data_path = "tables/"\n'
        )
        if self.archive:
            text += "# Its files are listed in checksums.json; `molbuffer merge` brings its rows into a store.\n"
            text += "archive = true\n"
        write_aside(layout.description, text.encode(), sync)

    @classmethod
    def read(cls, layout: Layout) -> Description:
        """Reads ``store.toml``.

        Raises:
            StoreNotFoundError: there is none.
            StoreFormatError: it is damaged, or of a newer release.
        """
        try:
            said = tomllib.loads(layout.description.read_text())
            # The decoded cache has a folder of this name, so that a name that is no uuid could lead out of it.
            found = cls(str(UUID(said["uuid"])), int(said["format"]), archive=bool(said.get("archive", False)))
            catalog = said["catalog"]
        except (FileNotFoundError, NotADirectoryError) as error:
            raise StoreNotFoundError(f"{layout.root} is no store: it has no store.toml") from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise StoreFormatError(f"{layout.description} is damaged: {error!r}; restore it from a backup") from error
        if found.format > FORMAT:
            raise StoreFormatError(
                f"the store {layout.root} has format {found.format}, this release reads {FORMAT}: update molbuffer"
            )
        if catalog != "sqlite:catalog.sqlite":
            raise StoreFormatError(
                f"{layout.description} names the catalog {catalog!r}, this release reads 'sqlite:catalog.sqlite'"
            )
        return found


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
