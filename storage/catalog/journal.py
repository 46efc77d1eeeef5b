"""The journal: which Parquet files each snapshot added, in a file of lines beside the catalog.

    STORE/journal.jsonl
      <crc32> {"snapshot": 57, "created": …, "message": …, "extra": {…}, "files": {"samples": [[name, null]]}, …}

With it, a catalog that is lost can be made anew from the Parquet files (``molbuffer.storage.recovery``): without it,
nobody could tell the files of a snapshot from those of a writer that was killed, or from those that a compaction has
replaced. A line is on the disk before its snapshot is committed. Rules that a reader follows:

    a number that is there already    the attempt before it was never committed: it and all after it are void
    the last line                     its COMMIT may be missing; all of it is on the disk, so that it counts as well
    a merge of files                  has a line without files: what it merged stays until a vacuum, which first writes
                                      the journal anew from the catalog (``Journal.rewrite``)

A vacuum therefore leaves one line for each snapshot that there still is, and for each that a file is from. The line of
a file that a compaction has made names the newest snapshot that it has rows of.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from molbuffer.storage.files import PRIVATE_FILE, Sync, write_aside

_TAIL_BYTES = 65_536


@dataclass(frozen=True)
class JournalFile:
    """A Parquet file of a snapshot.

    Attributes:
        name: its name in the folder of its table.
        partial_max: the newest snapshot that it has rows of, when it has rows of several; otherwise None.
    """

    name: str
    partial_max: int | None = None


@dataclass(frozen=True)
class JournalEntry:
    """A snapshot, and the files that it added.

    Attributes:
        snapshot: its number.
        created: when it was made, in microseconds since the epoch; None when it has expired, and only files are left.
        author: who made it.
        message: what it added.
        extra: its provenance, with the checksums of its files.
        files: its Parquet files by table.
        rewritten: whether ``Journal.rewrite`` wrote the line: numbers before it may be missing, since they expired.
    """

    snapshot: int
    created: int | None
    author: str | None = None
    message: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Sequence[JournalFile]] = field(default_factory=dict)
    rewritten: bool = False

    def to_line(self) -> bytes:
        """Return the line of the journal."""
        files = {table: [[file.name, file.partial_max] for file in of] for table, of in self.files.items()}
        said: dict[str, Any] = {
            "snapshot": self.snapshot,
            "created": self.created,
            "author": self.author,
            "message": self.message,
        }
        said |= {"extra": self.extra, "files": files, "rewritten": self.rewritten}
        text = json.dumps(said, ensure_ascii=False).encode()
        # A line that a kill cut off ends where the next one begins.
        return b"\n%08x %b\n" % (zlib.crc32(text), text)

    @classmethod
    def of_line(cls, line: bytes) -> JournalEntry | None:
        """Return the entry of a line; None when the line is damaged or was cut off."""
        try:
            if int(line[:8], 16) != zlib.crc32(line[9:]):
                return None
            said = json.loads(line[9:])
            files = {table: [JournalFile(*file) for file in of] for table, of in said.pop("files").items()}
            return cls(**said, files=files)
        except (KeyError, TypeError, ValueError):
            return None


@dataclass(frozen=True)
class JournalContent:
    """What a journal says.

    Attributes:
        entries: the snapshots that count, the oldest first.
        damaged: how many lines could not be read; the last line, which a kill may have cut off, is none of them.
    """

    entries: tuple[JournalEntry, ...]
    damaged: int

    @property
    def newest(self) -> int:
        """The newest snapshot; -1 without any."""
        return self.entries[-1].snapshot if self.entries else -1

    @property
    def complete(self) -> bool:
        """Whether there is a line for each snapshot that was made since the journal was begun, or written anew."""
        pairs = zip(self.entries, self.entries[1:], strict=False)
        return not self.damaged and all(
            after.rewritten or after.snapshot == before.snapshot + 1 for before, after in pairs
        )


class Journal:
    """The journal of a store; the caller holds the commit lock to write to it.

    Args:
        path: the file.
        sync: makes files and folders durable.
    """

    def __init__(self, path: Path, sync: Sync) -> None:
        self.path = path
        self._sync = sync

    def append(self, entry: JournalEntry) -> None:
        """Add a line, which the caller makes durable before the snapshot is committed."""
        with open(self.path, "ab", opener=_private) as file:
            file.write(entry.to_line())

    def rewrite(self, entries: Iterable[JournalEntry]) -> None:
        """Replace the journal, durably: a kill leaves the old one or the new one."""
        lines = b"".join(replace(entry, rewritten=True).to_line() for entry in entries)
        write_aside(self.path, lines, self._sync)

    def keep_aside(self, folder: Path, newest: int) -> None:
        """Move a journal that says more than the catalog, so that what it says is not lost."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        target = folder / f"journal-until-{newest}.jsonl"
        if not target.exists():
            self.path.rename(target)
            self._sync([folder, folder.parent])

    def newest(self) -> int | None:
        """Return the snapshot of the last sound line, from the end of the file; None without a journal."""
        try:
            size = self.path.stat().st_size
        except FileNotFoundError:
            return None
        looked = _TAIL_BYTES
        while True:
            with open(self.path, "rb") as file:
                file.seek(max(0, size - looked))
                lines = file.read().splitlines()
            # The first may have begun before what was read.
            whole = lines if looked >= size else lines[1:]
            for line in reversed(whole):
                if line and (entry := JournalEntry.of_line(line)) is not None:
                    return entry.snapshot
            if looked >= size:
                return -1
            looked *= 8

    def read(self) -> JournalContent:
        """Return what the journal says.

        Raises:
            OSError: it is missing, or cannot be read.
        """
        return read_content(self.path.read_bytes())


def read_content(content: bytes) -> JournalContent:
    """Return what the content of a journal says."""
    entries: dict[int, JournalEntry] = {}
    # A writer that was killed leaves a part of a line, and whoever comes next takes its number.
    broken = damaged = 0
    for line in filter(None, content.splitlines()):
        entry = JournalEntry.of_line(line)
        if entry is None:
            broken += 1
            continue
        if entry.snapshot > max(entries, default=-1) + 1:
            damaged += broken
        broken = 0
        for void in [number for number in entries if number >= entry.snapshot]:
            del entries[void]
        entries[entry.snapshot] = entry
    # A whole line at the end that is damaged was that of a snapshot.
    damaged += broken if content.endswith(b"\n") else max(0, broken - 1)
    return JournalContent(tuple(entries.values()), damaged)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, PRIVATE_FILE)


def entries_of(
    versions: Iterable[tuple[int, int, str | None, str | None, str | None]],
    files: Iterable[tuple[str, str, int, int | None]],
) -> Iterator[JournalEntry]:
    """Yield the entries of a catalog, the oldest first.

    Args:
        versions: number, created, author, message and extra as JSON of each snapshot.
        files: table, name, the first and the newest snapshot that it has rows of, of each Parquet file.
    """
    known = {version[0]: version for version in versions}
    added: dict[int, dict[str, list[JournalFile]]] = {number: {} for number in known}
    for table, name, first, partial_max in files:
        added.setdefault(first, {}).setdefault(table, []).append(JournalFile(name, partial_max))
    for number in sorted(added):
        _, created, author, message, extra = known.get(number, (number, None, None, None, None))
        yield JournalEntry(
            snapshot=number, created=created, author=author, message=message, extra=_object(extra), files=added[number]
        )


def _object(text: str | None) -> dict[str, Any]:
    """Return the provenance of a snapshot; that of a program that attached the catalog may be anything."""
    try:
        said = json.loads(text) if text else {}
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
