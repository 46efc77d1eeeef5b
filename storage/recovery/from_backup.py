"""A catalog that is restored from a backup, which maintenance has made."""

from __future__ import annotations

from molbuffer.storage.catalog import Catalog, drop_files, set_identity
from molbuffer.storage.files import Place, write_private
from molbuffer.storage.recovery.attempt import Attempt


def from_backup(work: Attempt, backup: Place) -> Catalog:
    """Return a copy of a backup of the catalog, without the Parquet files that are missing or damaged by now."""
    write_private(work.aside / "catalog.sqlite", (backup / "catalog.sqlite").read_bytes())
    catalog = Catalog(work.place, read_only=False)
    set_identity(catalog, work.uuid)
    work.notes.append(f"the base is the backup {backup}")
    gone = sorted(work.known(catalog) - work.files.sound.keys())
    work.lost |= {path: work.why_unusable(path) for path in gone}
    if gone:
        drop_files(catalog, [path.rpartition("/")[2] for path in gone])
    return catalog
