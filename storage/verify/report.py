"""The result of a verification: findings, the numbers of checked parts, and the checks that were not possible."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from molbuffer.storage.backends import one_line
from molbuffer.storage.errors import ArchiveFault, ExtensionError, StoreError, StorePlaceError
from molbuffer.storage.records import RowId

MAX_NAMED_ROWS = 100
"""The largest number of rows that a finding names; its message has the total number."""
_MAX_LISTED_NAMES = 3

Progress = Callable[[int, int], None]
"""A function (checked parts, total parts) that receives the progress; the total may grow during a verification."""


class Severity(StrEnum):
    """The severity of a finding."""

    ERROR = "error"
    """Committed data is lost, damaged, or contradicts itself."""
    WARNING = "warning"
    """No committed data is wrong, but something differs from the form that this release writes."""
    INFORMATION = "information"
    """Nothing is wrong: space that can be freed, segments in quarantine."""


class FindingKind(StrEnum):
    """The subject of a finding."""

    DESCRIPTION = "description"
    """The file ``store.toml``."""
    CATALOG = "catalog"
    """The database that lists the rows and files of a store."""
    JOURNAL = "journal"
    """The file from which a lost catalog can be made anew."""
    SCHEMA = "schema"
    """The tables are of another release."""
    PARQUET = "parquet"
    """A file with rows of a table."""
    SEGMENT = "segment"
    """The arrays of a commit."""
    DUPLICATE = "duplicate"
    """Rows that may exist once only exist several times."""
    REFERENCE = "reference"
    """A row names something that is not in the store."""
    COUNT = "count"
    """A build states another number of rows than it has."""
    REWARD = "reward"
    """A reward contradicts its status."""
    OBJECTIVE = "objective"
    """The description of a component of an objective is incomplete."""
    POLICY = "policy"
    """The weights of a policy."""
    CHECKPOINT = "checkpoint"
    """The files of a checkpoint."""
    QUARANTINE = "quarantine"
    """Segments that training leaves out."""
    ORPHAN = "orphan"
    """Files that no snapshot names: their writer was killed, or is still at work."""
    ARCHIVE = "archive"
    """The files or the content of an archive differ from its manifest, or from the form that molbuffer writes."""


@dataclass(frozen=True)
class Finding:
    """One result of a check.

    Attributes:
        severity: the severity of the finding.
        kind: the subject of the finding.
        message: what was found, what was expected, and what to do.
        path: the file or folder, relative to the store.
        table: the table.
        segment: the segment; the segment of an error can be put in quarantine.
        build_ids: the builds.
        rows: the rows, at most ``MAX_NAMED_ROWS`` of them.
        bytes: the size of files that no snapshot names, in bytes.
        age_seconds: the age of files that no snapshot names, in seconds.
        advice: the consequences and what to do, with which the message ends; None if the message has no such end.
        fault: the fault of an archive; None for a store, and for contradictions of rows, arrays or policies.
    """

    severity: Severity
    kind: FindingKind
    message: str
    path: str | None = None
    table: str | None = None
    segment: str | None = None
    build_ids: tuple[str, ...] = ()
    rows: tuple[RowId, ...] = ()
    bytes: int | None = None
    age_seconds: float | None = None
    advice: str | None = None
    fault: ArchiveFault | None = None


@dataclass(frozen=True)
class VerifyReport:
    """The result of a verification.

    Attributes:
        snapshot: the snapshot that was checked; None if the catalog could not be read.
        findings: the findings: errors first, then warnings, then information.
        checked: the number of checked parts of each sort.
        unchecked: the checks that were not possible, with the reason.
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
        """The damage of each segment that can be put in quarantine, by the name of the segment."""
        return {found.segment: found.message for found in self.errors if found.segment is not None}

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return asdict(self)


@dataclass
class Findings:
    """The collector of a verification in progress.

    Attributes:
        progress: the function that receives the progress.
        found: the findings so far.
        checked: the number of checked parts of each sort.
        unchecked: the checks that were not possible, with the reason.
        broken_tables: the tables with a damaged Parquet file, which cannot be read.
    """

    progress: Progress
    found: list[Finding] = field(default_factory=list)
    checked: Counter[str] = field(default_factory=Counter)
    unchecked: list[str] = field(default_factory=list)
    broken_tables: set[str] = field(default_factory=set)
    _done: int = 0
    _total: int = 0

    def error(self, kind: FindingKind, message: str, **subject: Any) -> None:
        """Add a finding of severity error about a subject, named by fields of ``Finding``."""
        self.add(Severity.ERROR, kind, message, **subject)

    def warning(self, kind: FindingKind, message: str, **subject: Any) -> None:
        """Add a finding of severity warning about a subject, named by fields of ``Finding``."""
        self.add(Severity.WARNING, kind, message, **subject)

    def information(self, kind: FindingKind, message: str, **subject: Any) -> None:
        """Add a finding of severity information about a subject, named by fields of ``Finding``."""
        self.add(Severity.INFORMATION, kind, message, **subject)

    def add(self, severity: Severity, kind: FindingKind, message: str, **subject: Any) -> None:
        """Add a finding about a subject, named by fields of ``Finding``; the message is completed by the advice."""
        if (advice := subject.get("advice")) is not None:
            message = f"{message}. {advice}"
        self.found.append(Finding(severity, kind, message, **subject))

    @contextmanager
    def going_on(self, what: str) -> Iterator[None]:
        """Run a check, and report it as unchecked after any error, since a damaged catalog can return anything.

        Args:
            what: the name of the check, for people.

        Raises:
            StorePlaceError: the file system does not allow the catalog to be read.
            ExtensionError: an extension of DuckDB cannot be loaded.
        """
        try:
            yield
        except (StorePlaceError, ExtensionError):
            raise
        except Exception as error:
            why = one_line(error) if isinstance(error, StoreError) else f"{type(error).__name__}: {one_line(error)}"
            self.error(FindingKind.CATALOG, f"{what} could not be checked: {why}")
            self.unchecked.append(what)

    def can_read(self, purpose: str, *tables: str) -> bool:
        """Return whether tables can be read; if one cannot be read, record the purpose as unchecked."""
        broken = sorted(self.broken_tables.intersection(tables))
        if broken:
            self.unchecked.append(f"{purpose}: a file of {', '.join(broken)} is damaged")
        return not broken

    def expect(self, parts: int) -> None:
        """Add a number of parts to the total of the progress."""
        self._total += parts
        self.progress(self._done, self._total)

    def done(self, part: str) -> None:
        """Count one part of this sort as checked."""
        self.checked[part] += 1
        self._done += 1
        self.progress(self._done, self._total)

    def report(self, snapshot: int | None) -> VerifyReport:
        """Return the report on a snapshot."""
        order = list(Severity)
        findings = sorted(self.found, key=lambda found: (order.index(found.severity), found.kind, found.path or ""))
        return VerifyReport(snapshot, tuple(findings), dict(self.checked), tuple(self.unchecked))


def first_few(names: Iterable[object], count: int | None = None) -> str:
    """Return the first few names as text, with the number of further names.

    Args:
        names: all names, or the first ones.
        count: the total number of names; None means the number of given names.
    """
    listed: Sequence[str] = [str(name) for name in names]
    more = (len(listed) if count is None else count) - _MAX_LISTED_NAMES
    return ", ".join(listed[:_MAX_LISTED_NAMES]) + (f" and {more} more" if more > 0 else "")
