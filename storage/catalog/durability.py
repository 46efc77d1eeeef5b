"""What a commit makes durable: its Parquet files, their checksums, and the line of the journal that names them.

DuckLake syncs its own catalog only. The journal is described in ``molbuffer.storage.catalog.journal``.
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
    """The durable side of a catalog's commits; the caller holds the commit lock.

    Args:
        catalog: whose commits they are; it is not written to.
        metadata: reads DuckLake's own tables (``Catalog.metadata``).
        place: of the catalog.
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
        # Where an object store has the Parquet files, nobody knows their names before the COMMIT.
        path = place.backend.journal if isinstance(place.tables, Path) else None
        self._journal = None if path is None else Journal(path, sync)
        self._settled = False

    def make_durable(self, transaction: Transaction, author: str, message: str, extra: Mapping[str, Any]) -> list[str]:
        """Make all that a transaction wrote durable, and what the journal says of it.

        Returns:
            What DuckLake records with the snapshot: author, message, and the provenance with the checksums as JSON.
        """
        recorded, tables, new = dict(extra), self._place.tables, transaction.new_files()
        if isinstance(tables, Path):
            files = [file for of_table in new.values() for file in of_table]
            # Without them, a bit that flips in a reward is another reward.
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
        """See once that the journal continues the catalog.

        An older release, or another program, may have written without it: then it is written anew. What a catalog that
        was set back to a backup does not know is kept. It is not done by opening: a catalog in whose place another was
        put may need the journal yet.
        """
        if self._journal is None or self._settled:
            return
        newest, recorded = self._catalog.newest(), self._journal.newest()
        if recorded is not None and recorded > newest + 1:
            self._journal.keep_aside(self._place.root / "backups", recorded)
        # A COMMIT that was cut off leaves one line more than there are snapshots.
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
    """Return the files and every folder from theirs up to ``root``: a file is durable when all that name it are."""
    paths = [Path(file) for file in files]
    folders = {folder for path in paths for folder in path.parents if folder.is_relative_to(root)}
    return [*paths, *folders]
