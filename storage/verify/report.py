"""What a verification finds, as values: findings, what was counted, what could not be checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from molbuffer.storage.records import RowId

MOST_ROWS = 100
"""How many rows a finding names; its message says how many there are."""
_MOST_WORDS = 3

Progress = Callable[[int, int], None]
"""Told how many of how many parts are checked; the total may grow while it goes on."""


class Severity(StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    """Something that was committed is lost, damaged, or contradicts itself."""
    WARNING = "warning"
    """Nothing that was committed is wrong, but something is not as this release writes it."""
    INFORMATION = "information"
    """What is worth knowing and in order: space that can be freed, segments in quarantine."""


class Kind(StrEnum):
    """What a finding is about."""

    DESCRIPTION = "description"
    """``store.toml``."""
    CATALOG = "catalog"
    """The SQLite file that says which rows and files there are."""
    SCHEMA = "schema"
    """The tables are of another release."""
    PARQUET = "parquet"
    """A file with rows of a table."""
    SEGMENT = "segment"
    """The arrays of a commit."""
    PLACEMENT = "placement"
    """Which rows of which segment belong to a build."""
    DUPLICATE = "duplicate"
    """What must exist once exists twice."""
    REFERENCE = "reference"
    """A row names something that is not in the store."""
    COUNT = "count"
    """A build says another number of rows than there are."""
    REWARD = "reward"
    """A reward contradicts itself or another."""
    POLICY = "policy"
    """The weights of a policy."""
    CHECKPOINT = "checkpoint"
    """The files of a checkpoint."""
    QUARANTINE = "quarantine"
    """Segments that training leaves out."""
    ORPHAN = "orphan"
    """Files that no version names: a writer was killed, or is at work on them."""
    ARCHIVE = "archive"
    """The files of an archive are not those that it lists."""


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        message: what was found, what was expected, and what to do.
        path: the file or folder it is about, relative to the store.
        table: the table it is about.
        segment: the segment it is about, which can be put in quarantine when this is an error.
        build_ids: the builds it is about.
        rows: the rows it is about, at most ``MOST_ROWS`` of them.
        bytes, age_seconds: of files that nothing names.
    """

    severity: Severity
    kind: Kind
    message: str
    path: str | None = None
    table: str | None = None
    segment: str | None = None
    build_ids: tuple[str, ...] = ()
    rows: tuple[RowId, ...] = ()
    bytes: int | None = None
    age_seconds: float | None = None


@dataclass(frozen=True)
class Report:
    """The result of a verification.

    Attributes:
        snapshot: the version that was checked; None when the catalog could not be read.
        findings: errors first, then warnings, then information.
        checked: how many of what were checked, by a name for people.
        unchecked: what could not be checked, and why.
    """

    snapshot: int | None
    findings: tuple[Finding, ...]
    checked: Mapping[str, int]
    unchecked: tuple[str, ...] = ()

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings of severity error."""
        return tuple(finding for finding in self.findings if finding.severity is Severity.ERROR)

    @property
    def damaged_segments(self) -> dict[str, str]:
        """Why each damaged segment cannot be read, by its name: what to put in quarantine."""
        return {found.segment: found.message for found in self.errors if found.segment is not None}

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return asdict(self)


@dataclass
class Notes:
    """What is found while a verification goes on.

    Attributes:
        broken_tables: tables with a damaged Parquet file: reading them would fail.
    """

    progress: Progress
    findings: list[Finding] = field(default_factory=list)
    checked: Counter[str] = field(default_factory=Counter)
    unchecked: list[str] = field(default_factory=list)
    broken_tables: set[str] = field(default_factory=set)
    _done: int = 0
    _total: int = 0

    def error(self, kind: Kind, message: str, **where: Any) -> None:
        """Adds a finding of severity error."""
        self.findings.append(Finding(Severity.ERROR, kind, message, **where))

    def warning(self, kind: Kind, message: str, **where: Any) -> None:
        """Adds a finding of severity warning."""
        self.findings.append(Finding(Severity.WARNING, kind, message, **where))

    def information(self, kind: Kind, message: str, **where: Any) -> None:
        """Adds a finding of severity information."""
        self.findings.append(Finding(Severity.INFORMATION, kind, message, **where))

    def readable(self, what: str, *tables: str) -> bool:
        """Whether tables can be read; when they cannot, notes what therefore was not checked."""
        broken = sorted(self.broken_tables.intersection(tables))
        if broken:
            self.unchecked.append(f"{what}: a file of {', '.join(broken)} is damaged")
        return not broken

    def expect(self, parts: int) -> None:
        """Says that so many more parts are to be checked."""
        self._total += parts
        self.progress(self._done, self._total)

    def done(self, what: str) -> None:
        """Counts one part as checked."""
        self.checked[what] += 1
        self._done += 1
        self.progress(self._done, self._total)

    def report(self, snapshot: int | None) -> Report:
        """The result."""
        order = list(Severity)
        findings = sorted(self.findings, key=lambda found: (order.index(found.severity), found.kind, found.path or ""))
        return Report(snapshot, tuple(findings), dict(self.checked), tuple(self.unchecked))


def listed(names: Iterable[object]) -> str:
    """The first few names, and how many more there are."""
    named: Sequence[str] = [str(name) for name in names]
    more = len(named) - _MOST_WORDS
    return ", ".join(named[:_MOST_WORDS]) + (f" and {more} more" if more > 0 else "")
