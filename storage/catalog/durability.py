"""The durable part of a commit: its Parquet files, their checksums, and the line of the journal that names them.

DuckLake syncs its own catalog only. ``molbuffer.storage.catalog.journal`` describes the journal.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from molbuffer.storage.backends import CatalogPlace
from molbuffer.storage.catalog.journal import Journal, JournalEntry, JournalFile, entries_of
from molbuffer.storage.catalog.readable import ReadableCatalog
from molbuffer.storage.catalog.transaction import Transaction
from molbuffer.storage.files import CHECKSUMS_KEY, Sync, file_checksums

_FILES = """SELECT table_name, part.path, part.begin_snapshot, part.partial_max
    FROM METADATA.ducklake_data_file AS part JOIN METADATA.ducklake_table AS whole USING (table_id)
    WHERE part.end_snapshot IS NULL AND whole.end_snapshot IS NULL ORDER BY data_file_id"""


class DurableCommits:
    """The durable part of a catalog's commits; the caller must hold the commit lock.

    Args:
        catalog: the catalog of the commits, which is only read here.
        metadata: a function that reads DuckLake's own tables (``Catalog.metadata``).
        place: the place of the catalog.
        sync: makes files and directories durable.
    """

    def __init__(
        self,
        catalog: ReadableCatalog,
        metadata: Callable[[str], list[tuple[Any, ...]]],
        place: CatalogPlace,
        sync: Sync,
    ) -> None:
        self._catalog = catalog
        self._metadata = metadata
        self._place = place
        self._sync = sync
        # No journal for Parquet files in an object store, whose names are not known before the COMMIT.
        path = place.backend.journal if isinstance(place.tables, Path) else None
        self._journal = None if path is None else Journal(path, sync)
        self._settled = False

    def make_durable(self, transaction: Transaction, author: str, message: str, extra: Mapping[str, Any]) -> list[str]:
        """Make the files of a transaction and its line of the journal durable.

        Returns:
            The values that DuckLake records with the snapshot: author, message, and as JSON the provenance with the
            checksums.
        """
        recorded, tables, new = dict(extra), self._place.tables, transaction.new_files()
        if isinstance(tables, Path):
            files = [file for of_table in new.values() for file in of_table]
            # Without checksums, a flipped bit in a reward would be read as another reward.
            recorded[CHECKSUMS_KEY] = {**extra.get(CHECKSUMS_KEY, {}), **file_checksums(files, tables.parent)}
            # DuckLake syncs its catalog, but not the Parquet files that the catalog will name.
            durable = _with_folders(files, tables)
            if self._journal is not None:
                added = {
                    table: [JournalFile(Path(file).name) for file in sorted(of_table)]
                    for table, of_table in new.items()
                    if of_table and table not in transaction.merged
                }
                created = time.time_ns() // 1000
                self._journal.append(
                    JournalEntry(
                        snapshot=transaction.snapshot + 1,
                        created=created,
                        author=author,
                        message=message,
                        extra=recorded,
                        files=added,
                    )
                )
                durable.append(self._journal.path)
            self._sync(durable)
        return [author, message, json.dumps({CHECKSUMS_KEY: {}, **recorded})]

    def settle_journal(self) -> None:
        """Check once that the journal matches the catalog, and write it anew if it does not.

        An older release, or another program, may have committed without writing to the journal. If the catalog was
        restored from a backup, the old journal is kept under another name, since it has later snapshots. Opening a
        store does not call this: if the catalog was replaced by mistake, recovery may still need the journal.
        """
        if self._journal is None or self._settled:
            return
        newest, recorded = self._catalog.newest(), self._journal.newest()
        if recorded is not None and recorded > newest + 1:
            self._journal.keep_aside(self._place.root / "backups", recorded)
        # An interrupted COMMIT leaves one more line than there are snapshots.
        if recorded is None or not newest <= recorded <= newest + 1:
            self._rewrite(self._journal)
        self._settled = True

    def rewrite_journal(self) -> None:
        """Write the journal anew from the catalog; see ``Catalog.rewrite_journal``."""
        if self._journal is not None:
            self.settle_journal()
            self._rewrite(self._journal)

    def _rewrite(self, journal: Journal) -> None:
        journal.rewrite(entries_of(self._catalog.versions(), self._metadata(_FILES)))


def _with_folders(files: Iterable[str], root: Path) -> list[Path]:
    """Return files and all their folders up to ``root``, since a file is durable once its folders are durable."""
    paths = [Path(file) for file in files]
    folders = {folder for path in paths for folder in path.parents if folder.is_relative_to(root)}
    return [*paths, *folders]
