"""The steps of making and of opening a store: ``SampleStore.create`` and ``SampleStore.open``."""

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
    """Make a store in a new or empty folder; processes that race to make it share one.

    Raises:
        StoreExistsError: there is something in the folder, or at ``data_path``, already.
        StorePlaceError: a place cannot hold a store, or an address is none.
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
    # Data elsewhere says whose it is (``check_place``).
    if reason is not None and data_path == HERE and layout.has_data():
        # Unless another process has made it, and written to it, since.
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
                # The catalog may be all that is left of a store's description.
                set_identity(catalog, uuid)
                description = replace(description, uuid=read_identity(catalog) or uuid)
                description.write(layout.description, sync)
    except BaseException:
        catalog.close()
        raise
    # Another process may have been quicker to make it.
    description = Description.read(layout.description)
    return OpenStore.of(description.layout(root), description.uuid, catalog, sync)


def open_store(root: Path, *, read_only: bool, sync: Sync, migrations: Sequence[Migration]) -> OpenStore:
    """Open a store, or an archive, which is open for reading only.

    Raises:
        StoreNotFoundError: there is none.
        StoreFormatError: it is damaged, of a newer release, or of an older one and to be migrated first.
        CatalogLostError: it has its data and not its catalog, which opening never makes.
        CatalogDamagedError: the catalog is damaged.
        StorePlaceError: it is to be written to on a network file system.
        ArchiveError: it is an archive that is not as molbuffer writes it.
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
    """Return a store as of a snapshot, for reading; it ends with the store.

    Raises:
        UnknownSnapshotError: the store has no such snapshot, or no longer.
    """
    return replace(opened, catalog=opened.catalog.at(snapshot))


def found_store(catalog: str, schema: str, uuid: str, data_path: str) -> tuple[str, str]:
    """Return the uuid and data path of the store that a catalog has; of a new one, those given.

    Raises:
        StorePlaceError: the address of the catalog is none, or the store there has its data elsewhere.
        CatalogUnavailableError: the database cannot be reached.
    """
    if catalog == SQLITE:
        return uuid, data_path
    check_address(catalog, schema)
    if not place_at(data_path).is_absolute():
        raise StorePlaceError(
            f"a catalog in Postgres serves several hosts, and needs data where all find it: expected "
            f"s3://bucket/prefix or the absolute path of a shared folder, got {data_path!r}"
        )
    uuid, there = settle(catalog, schema, uuid, data_path)
    if there != data_path:
        raise StorePlaceError(f"the store in schema {schema} of {catalog} has its data in {there}, not in {data_path}")
    return uuid, there
