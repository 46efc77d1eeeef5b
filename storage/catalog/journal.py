"""The journal, a text file beside the catalog with one line for each snapshot, which names its new Parquet files.

    STORE/journal.jsonl
      <crc32> {"snapshot": 57, "created": …, "message": …, "extra": {…}, "files": {"samples": [[name, null]]}, …}

With the journal, a lost catalog can be made anew from the Parquet files (``molbuffer.storage.recovery``). Without it,
the files of a snapshot could not be told from the files of a killed writer, or from files that a compaction has
replaced. A line is on the disk before its snapshot is committed. A reader follows these rules:

    a repeated number    the earlier attempt was never committed: its line and all lines after it are void
    the last line        its COMMIT may be missing, but its files are on the disk, so that the line counts
    a merge of files     has a line without files: the merged files stay until a vacuum, which first writes the journal
                         anew from the catalog (``Journal.rewrite``)

A vacuum therefore leaves one line for each existing snapshot, and for each snapshot that added an existing file. The
line of a file that a compaction has made names the newest snapshot whose rows the file has.
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
        name: the name of the file in the folder of its table.
        partial_max: the newest snapshot whose rows the file has, if it has rows of several snapshots; otherwise None.
    """

    name: str
    partial_max: int | None = None


@dataclass(frozen=True)
class JournalEntry:
    """A snapshot, and the files that it added.

    Attributes:
        snapshot: the number of the snapshot.
        created: the time of the commit in microseconds since the epoch; None for an expired snapshot with files.
        author: the author of the snapshot.
        message: the message of the snapshot.
        extra: its provenance, with the checksums of its files.
        files: its Parquet files by table.
        rewritten: whether ``Journal.rewrite`` wrote the line, so that expired snapshots before it may be missing.
    """

    snapshot: int
    created: int | None
    author: str | None = None
    message: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Sequence[JournalFile]] = field(default_factory=dict)
    rewritten: bool = False

    def to_line(self) -> bytes:
        """Return the entry as a line of the journal."""
        files = {table: [[file.name, file.partial_max] for file in of] for table, of in self.files.items()}
        said: dict[str, Any] = {
            "snapshot": self.snapshot,
            "created": self.created,
            "author": self.author,
            "message": self.message,
        }
        said |= {"extra": self.extra, "files": files, "rewritten": self.rewritten}
        text = json.dumps(said, ensure_ascii=False).encode()
        # The line starts with a line break, so that it does not continue a line that a kill has cut off.
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
    """The content of a journal.

    Attributes:
        entries: the valid snapshots, the oldest first.
        damaged: the number of unreadable lines, without a last line that a kill may have cut off.
    """

    entries: tuple[JournalEntry, ...]
    damaged: int

    @property
    def newest(self) -> int:
        """The newest snapshot; -1 without snapshots."""
        return self.entries[-1].snapshot if self.entries else -1

    @property
    def complete(self) -> bool:
        """Whether there is a line for each snapshot since the journal was started or written anew."""
        pairs = zip(self.entries, self.entries[1:], strict=False)
        return not self.damaged and all(
            after.rewritten or after.snapshot == before.snapshot + 1 for before, after in pairs
        )


class Journal:
    """The journal of a store; a caller that writes to it must hold the commit lock.

    Args:
        path: the path of the file.
        sync: makes files and folders durable.
    """

    def __init__(self, path: Path, sync: Sync) -> None:
        self.path = path
        self._sync = sync

    def append(self, entry: JournalEntry) -> None:
        """Add a line, which the caller must make durable before it commits the snapshot."""
        with open(self.path, "ab", opener=_private) as file:
            file.write(entry.to_line())

    def rewrite(self, entries: Iterable[JournalEntry]) -> None:
        """Replace the journal durably by new entries; a kill leaves the old journal or the new one."""
        lines = b"".join(replace(entry, rewritten=True).to_line() for entry in entries)
        write_aside(self.path, lines, self._sync)

    def keep_aside(self, folder: Path, newest: int) -> None:
        """Move a journal that has later snapshots than the catalog into a folder, so that it is not lost."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        target = folder / f"journal-until-{newest}.jsonl"
        if not target.exists():
            self.path.rename(target)
            self._sync([folder, folder.parent])

    def newest(self) -> int | None:
        """Return the snapshot of the last sound line; -1 if there is no sound line, None without a journal."""
        try:
            size = self.path.stat().st_size
        except FileNotFoundError:
            return None
        looked = _TAIL_BYTES
        while True:
            with open(self.path, "rb") as file:
                file.seek(max(0, size - looked))
                lines = file.read().splitlines()
            # The first line may have begun before the part that was read.
            whole = lines if looked >= size else lines[1:]
            for line in reversed(whole):
                if line and (entry := JournalEntry.of_line(line)) is not None:
                    return entry.snapshot
            if looked >= size:
                return -1
            looked *= 8

    def read(self) -> JournalContent:
        """Return the content of the journal.

        Raises:
            OSError: the file is missing or cannot be read.
        """
        return read_content(self.path.read_bytes())


def read_content(content: bytes) -> JournalContent:
    """Return the content of a journal, given the bytes of its file."""
    entries: dict[int, JournalEntry] = {}
    # A killed writer leaves a part of a line, and the next writer takes the same number.
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
    # A damaged line at the end that is complete was the line of a snapshot.
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
        versions: for each snapshot its number, time, author, message and provenance as JSON.
        files: for each Parquet file its table, its name, and the first and the newest snapshot whose rows it has.
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
    """Return the provenance of a snapshot from its JSON; empty if another program recorded something else."""
    try:
        said = json.loads(text) if text else {}
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
