"""Archives of an older schema: read as if they were of this release, by way of a copy of their catalog.

An archive is never changed. The copy lies in a temporary folder whose Parquet files, arrays and policies are links to
those of the archive, and is migrated there as a store would be. So a merge sees what it would see had the archive been
made by this release, whatever a migration does.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from molbuffer.storage.archive.check_catalog import check_catalog
from molbuffer.storage.archive.manifest import CHECKSUMS, MANIFEST
from molbuffer.storage.catalog.catalog import Catalog
from molbuffer.storage.catalog.migrate import applied, create_schema
from molbuffer.storage.catalog.schema import MIGRATIONS, Migration
from molbuffer.storage.description import Description
from molbuffer.storage.files.durable import sync_paths
from molbuffer.storage.files.places import PRIVATE_FILE
from molbuffer.storage.layout import Layout
from molbuffer.storage.store import SampleStore


@contextmanager
def opened_archive(folder: Path, migrations: Sequence[Migration] = MIGRATIONS) -> Iterator[SampleStore]:
    """An archive, opened for reading; one of an older schema as this release would have made it.

    Args:
        migrations: those of this release.

    Raises:
        StoreFormatError: it is of a newer release.
        StoreError: it is damaged.
    """
    layout = Layout(folder)
    if not (Description.read(layout.description).archive and _is_older(layout, migrations)):
        with SampleStore.open(folder, read_only=True, migrations=migrations) as archive:
            yield archive
        return
    with tempfile.TemporaryDirectory(prefix="molbuffer-archive-") as temporary:
        copy = Layout(Path(temporary).resolve() / "archive")
        _link(layout, copy)
        _migrate(copy, migrations)
        # Not by ``open``, which refuses links in an archive: where these lead has been looked at.
        description = Description.read(copy.description)
        catalog = Catalog(copy.catalog, read_only=True, refusal=description.refusal(folder))
        with SampleStore(copy, description, catalog, sync_paths) as archive:
            yield archive


def _is_older(layout: Layout, migrations: Sequence[Migration]) -> bool:
    check_catalog(layout, migrations)
    with closing(Catalog(layout.catalog, read_only=True)) as catalog:
        return applied(catalog) < migrations[-1].number


def _link(archive: Layout, copy: Layout) -> None:
    """Makes a folder that has the archive's files as links, and copies of the few that change or are looked for."""
    for parquet in (archive.root / "tables").glob("main/*/*.parquet"):
        link = copy.root / parquet.relative_to(archive.root)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(parquet)
    for name in (archive.arrays.name, archive.policies.name):
        (copy.root / name).symlink_to(archive.root / name)
    for name in (archive.sqlite.database.name, archive.description.name, MANIFEST, CHECKSUMS):
        shutil.copyfile(archive.root / name, copy.root / name)
        (copy.root / name).chmod(PRIVATE_FILE)


def _migrate(copy: Layout, migrations: Sequence[Migration]) -> None:
    with closing(Catalog(copy.catalog, read_only=False, sync=lambda paths: None)) as catalog:
        create_schema(catalog, migrations)
    # As archives have it; nothing holds the file any more.
    with closing(sqlite3.connect(copy.sqlite.database, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
