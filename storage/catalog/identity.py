"""Whose catalog it is: the one that belongs to the files of a store, or that of another store in its place."""

from __future__ import annotations

from pathlib import Path

from molbuffer.storage.backends import lost
from molbuffer.storage.catalog.catalog import Catalog
from molbuffer.storage.layout import Layout

_IDENTITY = "SELECT value FROM METADATA.ducklake_metadata WHERE key = 'molbuffer_store' AND scope IS NULL"
_SET_IDENTITY = "INSERT INTO METADATA.ducklake_metadata (key, value) VALUES ('molbuffer_store', $uuid)"
_MOST_FILES = 100
_NEWEST_FILES = f"""SELECT table_name, part.path
    FROM METADATA.ducklake_data_file AS part JOIN METADATA.ducklake_table AS whole USING (table_id)
    WHERE part.end_snapshot IS NULL ORDER BY data_file_id DESC LIMIT {_MOST_FILES}"""


def read_identity(catalog: Catalog) -> str | None:
    """Return the uuid of the store whose catalog it is; None of a store of an older release."""
    found = catalog.metadata(_IDENTITY)
    return str(found[0][0]) if found else None


def set_identity(catalog: Catalog, uuid: str) -> None:
    """Record whose catalog it is, unless it says so already."""
    with catalog.locked():
        if read_identity(catalog) is None:
            catalog.metadata(_SET_IDENTITY, {"uuid": uuid})


def check_identity(catalog: Catalog, layout: Layout, uuid: str) -> None:
    """Refuse a catalog that is not that of the store in whose folder it lies, before anything is done with it.

    The catalog of a store of an older release does not say whose it is: it belongs to a store in which any of the files
    is that it names. When it is opened for writing, it is told.

    Raises:
        CatalogLostError: it is that of another store.
    """
    said = read_identity(catalog)
    if said is None:
        named = catalog.metadata(_NEWEST_FILES)
        tables = layout.tables / "main"
        if isinstance(tables, Path) and named and not any((tables / table / file).exists() for table, file in named):
            raise lost(layout.backend, layout.root, "foreign")
        if not catalog.read_only:
            set_identity(catalog, uuid)
    elif said != uuid:
        raise lost(layout.backend, layout.root, "foreign")
