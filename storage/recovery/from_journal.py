"""A catalog that is made from the journal of its store: each recorded snapshot with the files that it added."""

from __future__ import annotations

from molbuffer.storage.catalog import TABLES, Catalog, Journal, JournalContent, JournalEntry, RegisteredFile, register
from molbuffer.storage.files import sync_paths
from molbuffer.storage.layout import Layout
from molbuffer.storage.recovery.attempt import OF_CREATION, Attempt


def read_journal(layout: Layout) -> JournalContent:
    """Return the content of the journal of a store; without entries if there is no journal."""
    try:
        return Journal(layout.journal, sync_paths).read()
    except FileNotFoundError:
        return JournalContent((), 0)


def from_journal(work: Attempt, content: JournalContent) -> Catalog:
    """Return a new catalog with the snapshots of a journal, and note the files that cannot be used."""
    entries = list(content.entries)
    if entries and not _all_there(work, entries[-1]) and not entries[-1].rewritten:
        # The newest entry was never committed: a vacuum removed its files, or they never reached the disk.
        entries.pop()
    named = [
        (f"tables/main/{table}/{file.name}", table, file.partial_max, entry.snapshot)
        for entry in entries
        for table, files in entry.files.items()
        if table in TABLES and table not in OF_CREATION
        for file in files
    ]
    for path, *_ in named:
        if path not in work.files.sound:
            work.lost[path] = work.why_unusable(path)
    files = [
        RegisteredFile(table, work.files.sound[path].place, number, partial_max)
        for path, table, partial_max, number in named
        if path in work.files.sound
    ]
    catalog = work.new_catalog()
    register(catalog, entries, files)
    if not content.complete:
        work.notes.append(f"{content.damaged} lines of the journal are damaged, or lines are missing")
    return catalog


def _all_there(work: Attempt, entry: JournalEntry) -> bool:
    names = (f"tables/main/{table}/{file.name}" for table, files in entry.files.items() for file in files)
    return all(name in work.files.sound for name in names)
