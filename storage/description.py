"""The description of a store, ``store.toml``: its format, its identity, and where its catalog and data are."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from molbuffer.storage.backends.postgres import check_address
from molbuffer.storage.errors import StoreFormatError, StoreNotFoundError, StorePlaceError
from molbuffer.storage.files.durable import Sync, write_aside
from molbuffer.storage.files.places import place_at
from molbuffer.storage.layout import DEFAULT_SCHEMA, HERE, SQLITE, Layout

FORMAT = 1
"""The number of the layout that this release reads and writes."""


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
