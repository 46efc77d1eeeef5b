"""The steps of making and opening a store, for ``SampleStore.create`` and ``SampleStore.open``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from molbuffer.storage.archive import ALREADY_HERE, ArchiveCatalog, as_store, is_archive, verify_files, wrong_arrays
from molbuffer.storage.backends import check_address, lost, settle
from molbuffer.storage.catalog import (
    Catalog,
    Migration,
    check_identity,
    check_schema,
    create_schema,
    read_identity,
    set_identity,
)
from molbuffer.storage.description import Description
from molbuffer.storage.errors import ArchiveError, StoreExistsError, StorePlaceError
from molbuffer.storage.files import PRIVATE_FILE, Sync, on_disk, place_at
from molbuffer.storage.handle import OpenStore
from molbuffer.storage.layout import HERE, SQLITE, Layout, check_path, check_place


def make_store(root: Path, address: str, schema: str, data_path: str, sync: Sync) -> OpenStore:
    """Make a store in a new or empty folder; processes that make it at the same time share one store.

    Raises:
        StoreExistsError: the folder is not empty, or ``data_path`` has the files of another store.
        StorePlaceError: a place cannot hold a store, or an address is not valid.
        CatalogLostError: the folder has the data of a store whose catalog and description are gone.
        CatalogUnavailableError: the database cannot be reached.
    """
    here = Layout(root)
    if here.description.exists() or here.has_foreign_files():
        raise StoreExistsError(f"{root} is not empty; name a new folder, or open the store that is there")
    uuid, data_path = found_store(address, schema, str(uuid4()), data_path)
    description = Description(uuid, catalog=address, catalog_schema=schema, data_path=data_path)
    layout = description.layout(root)
    reason = layout.backend.lost()
    # Data in another place names the store that it belongs to (``check_place``).
    if reason is not None and data_path == HERE and layout.has_data():
        # Another process may have made the store, and written to it, in the meantime.
        if here.description.exists():
            raise StoreExistsError(f"{root} is a store by now; open it")
        raise lost(layout.backend, root, reason)
    check_path(layout)
    layout.make_folders()
    check_place(layout, uuid)
    catalog = Catalog(layout.catalog, read_only=False, create=True, sync=sync)
    try:
        create_schema(catalog)
        if layout.backend == layout.sqlite:
            layout.sqlite.database.chmod(PRIVATE_FILE)
        with catalog.locked():
            if not layout.description.exists():
                sync([root.parent, root, *on_disk(layout.folders)])
                # A catalog whose store has lost its description keeps its identity.
                set_identity(catalog, uuid)
                description = replace(description, uuid=read_identity(catalog) or uuid)
                description.write(layout.description, sync)
    except BaseException:
        catalog.close()
        raise
    # Another process may have made the store first, with another uuid.
    description = Description.read(layout.description)
    return OpenStore.of(description.layout(root), description.uuid, catalog, sync)


def open_store(root: Path, *, read_only: bool, sync: Sync, migrations: Sequence[Migration]) -> OpenStore:
    """Open a store, or an archive for reading.

    Raises:
        StoreNotFoundError: there is no store.
        StoreFormatError: the store is damaged, of a newer release, or of an older one that must be migrated first.
        CatalogLostError: the store has its data, but not its catalog; opening never makes a catalog.
        CatalogDamagedError: the catalog is damaged.
        StorePlaceError: the store is opened for writing on a network file system.
        ArchiveError: the archive is damaged, or has another form than molbuffer writes.
    """
    if is_archive(root):
        manifest = verify_files(root, ALREADY_HERE, sizes_only=True)
        if (problem := wrong_arrays(root, ALREADY_HERE.bytes)) is not None:
            raise ArchiveError(f"{root} is not used: {problem.text}", problem.fault)
        return as_store(ArchiveCatalog(root, manifest, migrations), sync)
    description = Description.read(root / "store.toml")
    layout = description.layout(root)
    if not read_only:
        check_place(layout, description.uuid)
    catalog = Catalog(layout.catalog, read_only=read_only, sync=sync)
    try:
        check_identity(catalog, layout, description.uuid)
        check_schema(catalog, layout, description, migrations)
    except BaseException:
        catalog.close()
        raise
    return OpenStore.of(layout, description.uuid, catalog, sync)


def store_at(opened: OpenStore, snapshot: int) -> OpenStore:
    """Return a read-only view of a store at a snapshot; closing the store closes the view.

    Raises:
        UnknownSnapshotError: the store does not have the snapshot, or no longer has it.
    """
    return replace(opened, catalog=opened.catalog.at(snapshot))


def found_store(catalog: str, schema: str, uuid: str, data_path: str) -> tuple[str, str]:
    """Return the uuid and data path of the store that a catalog holds; for a new catalog, the given ones.

    Args:
        catalog: the address of the catalog.
        schema: the schema of a catalog in Postgres.
        uuid: the identity of a new store.
        data_path: the data path of a new store, and the expected one of an existing store.

    Raises:
        StorePlaceError: an address is not valid, or the store of the catalog has another data path.
        CatalogUnavailableError: the database cannot be reached.
    """
    if catalog == SQLITE:
        return uuid, data_path
    check_address(catalog, schema)
    if not place_at(data_path).is_absolute():
        raise StorePlaceError(
            f"a catalog in Postgres serves several hosts, and all of them must reach the data: expected "
            f"s3://bucket/prefix or the absolute path of a shared folder, got {data_path!r}"
        )
    uuid, there = settle(catalog, schema, uuid, data_path)
    if there != data_path:
        raise StorePlaceError(f"the store in schema {schema} of {catalog} has its data in {there}, not in {data_path}")
    return uuid, there
