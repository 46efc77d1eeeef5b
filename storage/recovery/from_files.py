"""A catalog that is made from the Parquet files alone: one snapshot with all of their rows."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from molbuffer.storage.catalog import Catalog, JournalContent, JournalEntry, renumber
from molbuffer.storage.files import CHECKSUMS_KEY
from molbuffer.storage.recovery.attempt import Attempt

_REFERENCES = """SELECT max(snapshot) AS newest FROM (SELECT pinned_snapshot AS snapshot FROM {runs}
    UNION ALL SELECT snapshot FROM {checkpoints} UNION ALL SELECT snapshot FROM {archives})"""


def from_files(work: Attempt) -> Catalog:
    """Return a new catalog without rows, to which ``Attempt.add_other_files`` adds the rows of all files."""
    catalog = work.new_catalog()
    work.notes.append("snapshots from before the recovery cannot be read")
    return catalog


def number_after_all(catalog: Catalog, content: JournalContent, files: int) -> None:
    """Give the only snapshot a number that is higher than that of any earlier snapshot.

    The number exceeds every recorded number by the number of Parquet files, since each snapshot wrote at least one.

    Args:
        catalog: the new catalog.
        content: the journal.
        files: the number of sound Parquet files.
    """
    named = catalog.read(_REFERENCES)["newest"][0].as_py() or 0
    number = max(named, content.newest, catalog.newest()) + files + 1
    created = int(datetime.now(UTC).timestamp() * 1e6)
    extras = [json.loads(version.extra) for version in catalog.versions() if version.extra]
    checksums = {path: sha256 for extra in extras for path, sha256 in extra.get(CHECKSUMS_KEY, {}).items()}
    provenance = {"recovery": "files", CHECKSUMS_KEY: checksums}
    renumber(catalog, JournalEntry(number, created, "molbuffer", "recovered from files", provenance))
