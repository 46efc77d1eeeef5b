"""The description of a store, ``store.toml``: its format, its identity, and where its catalog and data are."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from molbuffer.storage.backends import check_address
from molbuffer.storage.errors import StoreFormatError, StoreNotFoundError, StorePlaceError
from molbuffer.storage.files import Sync, place_at, plain_file, write_aside
from molbuffer.storage.layout import DEFAULT_SCHEMA, HERE, SQLITE, Layout

STORE_FORMAT = 1
"""The number of the layout of files that this release reads and writes."""
_MOST_BYTES = 8192


@dataclass(frozen=True)
class Description:
    """The content of ``store.toml``.

    Attributes:
        uuid: the identity of the store, which a copy shares.
        format: the number of the layout of its files.
        catalog: ``sqlite:catalog.sqlite``, or the address of a Postgres database.
        catalog_schema: the schema of the Postgres database.
        data_path: the place of tables, arrays, policies and checkpoints: a folder, where a relative path starts at the
            folder of the store, or s3://bucket/prefix.
    """

    uuid: str
    format: int = STORE_FORMAT
    catalog: str = SQLITE
    catalog_schema: str = DEFAULT_SCHEMA
    data_path: str = HERE

    def layout(self, root: Path) -> Layout:
        """Return the layout of the store with this description whose folder is ``root``."""
        return Layout(root, self.catalog, self.catalog_schema, self.data_path)

    def write(self, path: Path, sync: Sync) -> None:
        """Write ``store.toml`` under another name and rename it, which makes the folder a store."""
        text = (
            "# A molbuffer store. The folder may be moved or copied as a whole while nothing has it open.\n"
            f"format = {self.format}\n"
            f"uuid = {_toml(self.uuid)}\n"
            f"catalog = {_toml(self.catalog)}\n"
        )
        if self.catalog != SQLITE:
            text += f"catalog_schema = {_toml(self.catalog_schema)}\n"
        text += f"data_path = {_toml(self.data_path)}\n"
        write_aside(path, text.encode(), sync)

    @classmethod
    def read(cls, path: Path, newest: int = STORE_FORMAT) -> Description:
        """Read ``store.toml`` of the present format or an older one.

        Args:
            path: the path of the file.
            newest: the newest format that is accepted.

        Raises:
            StoreNotFoundError: there is no such file.
            StoreFormatError: the file is damaged, or of a newer release.
        """
        try:
            # The size is limited, since dotted keys take the square of their length in memory: 1.5 GB for 40 KB.
            said = tomllib.loads(plain_file(path.resolve(), _MOST_BYTES).decode())
            found = cls(
                # The decoded cache names a folder by this text: a text that is no uuid could lead out of the cache.
                str(UUID(said["uuid"])),
                int(said["format"]),
                catalog=str(said["catalog"]),
                catalog_schema=str(said.get("catalog_schema", DEFAULT_SCHEMA)),
                data_path=str(said["data_path"]),
            )
            if found.format < 1:
                raise ValueError(f"there is no format {found.format}")
        except (FileNotFoundError, NotADirectoryError) as error:
            why = "it has no store.toml"
            if path.parent.is_file():
                why = "a store is a folder, which `molbuffer run` or `molbuffer init` makes, and this is a file"
            raise StoreNotFoundError(f"{path.parent} is no store: {why}") from error
        except (ArithmeticError, AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise StoreFormatError(f"{path} is damaged: {error!r}; restore it from a backup") from error
        if found.format > newest:
            raise StoreFormatError(
                f"the store {path.parent} has format {found.format}, this release reads {newest}: update molbuffer"
            )
        found.check(path)
        return found

    def check(self, path: Path) -> None:
        """Refuse a description whose catalog or data path is not a valid address.

        Args:
            path: the path of the file, which the error names.

        Raises:
            StoreFormatError: an address is not valid.
        """
        try:
            if self.catalog != SQLITE:
                check_address(self.catalog, self.catalog_schema)
            place_at(self.data_path)
        except StorePlaceError as error:
            raise StoreFormatError(f"{path}: {error}") from error


def _toml(text: str) -> str:
    """Return a text as a TOML string, which is written like a JSON string."""
    return json.dumps(text, ensure_ascii=False)
