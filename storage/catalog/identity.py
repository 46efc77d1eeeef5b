"""The identity of a catalog, which shows whether it belongs to the files of a store or to another store."""

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
    """Return the uuid of the store that a catalog belongs to; None for the catalog of an older release."""
    found = catalog.metadata(_IDENTITY)
    return str(found[0][0]) if found else None


def set_identity(catalog: Catalog, uuid: str) -> None:
    """Record the uuid of the store in its catalog, unless the catalog already has one."""
    with catalog.locked():
        if read_identity(catalog) is None:
            catalog.metadata(_SET_IDENTITY, {"uuid": uuid})


def check_identity(catalog: Catalog, layout: Layout, uuid: str) -> None:
    """Refuse a catalog that does not belong to the store in whose folder it is.

    The catalog of an older release has no uuid: it belongs to the store if the store has any of the catalog's newest
    Parquet files. If it is opened for writing, the uuid of the store is recorded.

    Args:
        catalog: the catalog.
        layout: the paths of the store's files.
        uuid: the identity of the store.

    Raises:
        CatalogLostError: the catalog belongs to another store.
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
