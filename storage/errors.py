"""The errors of the store, told apart by type.

    StoreError
    ├── StoreNotFoundError      there is no store at a path
    ├── StoreExistsError        there is already something at the path of a new store
    ├── StoreFormatError        store.toml or the tables are damaged, or of a newer release
    ├── StoreModeError          writing to a store opened for reading, or using a closed one
    ├── StoreBusyError          others held the commit lock for too long
    ├── CatalogUnavailableError the catalog or its server failed; another attempt may succeed
    ├── CatalogDamagedError     the catalog is damaged
    ├── CatalogLostError        a store has its data, but not its catalog
    ├── StoreMovedError         a store was moved, removed or replaced while it was open
    ├── StoreFileError          the system refused to read or write a file
    ├── RecoveryError           a catalog cannot be made anew, or does not need to be
    ├── VacuumRefusedError      a vacuum would remove most of the store
    ├── MaintenanceBusyError    another process compacts, expires or vacuums the store
    ├── StorePlaceError         the file system cannot hold a store that is written to
    ├── StoreWriteError         the disk is full, read-only or failed; nothing of a commit is visible
    ├── ExtensionError          DuckDB's extensions cannot be loaded
    ├── UnknownRunError         no run, or several, have an id or prefix
    ├── RunConflictError        a run id is known with another configuration or objective
    ├── UnknownObjectiveError   no run and no reward of the store has the objective
    ├── UnknownBuildError       no build has the id
    ├── PartialBuildError       only some rows of a build are in this store
    ├── UnknownPolicyError      no policy, or several, have a hash or prefix
    ├── PolicyDamagedError      a policy's files differ from those that were stored
    ├── FileDamagedError        a file differs from the one that was written: a bit has flipped, or it was replaced
    ├── UnknownSnapshotError    the store does not have the snapshot, or no longer has it
    ├── ArraysError             a segment of arrays is missing, damaged or cannot be written
    ├── CacheError              the decoded cache cannot be written (the disk is full)
    ├── ArchiveError            an archive is damaged, too large or inconsistent; or there is nothing to archive
    ├── MergeConflictError      an archive contradicts the store that it is merged into
    └── QueryError              a query of a user failed; the message is one line
        ├── QueryRefusedError   the query is not exactly one statement that reads
        ├── QueryNameError      a query names an unknown table, view or function
        ├── QueryTimeoutError   a query exceeds its time limit
        ├── QueryTooLargeError  a query exceeds its memory limit
        └── PredicateError      a predicate over rows cannot be applied

Every message says what was got, what was expected, and what to do.
"""

from __future__ import annotations

import errno
from enum import StrEnum

_LASTING = (FileNotFoundError, FileExistsError, PermissionError, NotADirectoryError, IsADirectoryError)
_LASTING_NUMBERS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.ENAMETOOLONG})


class StoreError(Exception):
    """Root of all errors of the store."""


class StoreNotFoundError(StoreError):
    """There is no store at a path."""


class StoreExistsError(StoreError):
    """There is already something at the path of a new store."""


class StoreFormatError(StoreError):
    """The store's description or tables are damaged, or were written by a newer release."""


class StoreModeError(StoreError):
    """A store opened for reading was written to, or a closed one was used."""


class StoreBusyError(StoreError):
    """Another process held the commit lock for too long."""


class CatalogUnavailableError(StoreError):
    """The catalog or its server failed or cannot be reached; another attempt may succeed."""


class CatalogDamagedError(StoreError):
    """The catalog is damaged: ``molbuffer recover`` makes it anew, or restores a backup."""


class CatalogLostError(StoreError):
    """A store has its data, but not its catalog; nothing was changed, and no new catalog was made.

    Attributes:
        reason: "missing", "empty" (the catalog has no bytes, or none of DuckLake's tables), or "foreign" (the catalog
            belongs to another store).
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class StoreMovedError(StoreError):
    """A store was moved, removed or replaced while it was open; open it again at its new path."""


class StoreFileError(StoreError, OSError):
    """The system refused to read or write a file of the store or of the caller.

    Attributes:
        errno: the number of the system's error; None if it is not known.
    """

    def __init__(self, message: str, errno: int | None = None) -> None:
        super().__init__(message)
        self.errno = errno


class RecoveryError(StoreError):
    """The catalog of a store cannot be made anew, or does not need to be; nothing was changed."""


class VacuumRefusedError(StoreError):
    """A vacuum would remove most of the store, because the catalog does not name it; nothing was removed.

    Attributes:
        unknown: the number of files and folders that the vacuum would remove and that the catalog never named.
        known: the number of files and folders that it would leave.
    """

    def __init__(self, message: str, unknown: int, known: int) -> None:
        super().__init__(message)
        self.unknown = unknown
        self.known = known


class MaintenanceBusyError(StoreError):
    """Another process compacts, expires or vacuums the store."""


class StorePlaceError(StoreError):
    """The file system cannot hold a store that is written to."""


class StoreWriteError(StoreError):
    """The disk is full, read-only or failed; nothing of the commit is visible.

    Attributes:
        errno: the number of the system's error; None if it is not known.
    """

    def __init__(self, message: str, errno: int | None = None) -> None:
        super().__init__(message)
        self.errno = errno


class ExtensionError(StoreError):
    """DuckDB's extensions cannot be loaded."""


class UnknownRunError(StoreError, LookupError):
    """No run, or more than one, has an id that starts with the given text."""


class RunConflictError(StoreError):
    """A run id is already known with another configuration or objective."""


class UnknownObjectiveError(StoreError, LookupError):
    """No run and no reward of the store has the objective."""


class UnknownBuildError(StoreError, LookupError):
    """No build has the id."""


class PartialBuildError(StoreError):
    """Only some rows of a build are in this store."""


class UnknownPolicyError(StoreError, LookupError):
    """No policy, or more than one, has a hash that starts with the given text."""


class PolicyDamagedError(StoreError):
    """A policy's files differ from those that were stored."""


class FileDamagedError(StoreError):
    """A file of the store differs from the file that was written.

    Attributes:
        path: the path of the file.
    """

    def __init__(self, path: object, fault: str, advice: str = "restore this file from a backup") -> None:
        super().__init__(f"{path} is damaged: {fault}; {advice}, and look for others with `molbuffer verify`")
        self.path = path


class UnknownSnapshotError(StoreError, LookupError):
    """The store does not have the snapshot, or an expiry has removed it."""


class ArraysError(StoreError):
    """A segment of arrays is missing, damaged, or cannot be written."""


class CacheError(StoreError):
    """The decoded cache cannot be written."""


class ArchiveFault(StrEnum):
    """The fault of an archive, or the reason why none can be made."""

    NOT_AN_ARCHIVE = "not_an_archive"
    """There is no manifest, or no tar file."""
    OLDER_FORM = "older_form"
    """The archive has a catalog, as archives of earlier releases have."""
    NEWER_RELEASE = "newer_release"
    """The version or the schema of the archive is of a later release."""
    MANIFEST_SYNTAX = "manifest_syntax"
    """The manifest is not valid JSON, or has unusual numbers, duplicate keys, or too much structure."""
    MANIFEST_VALUE = "manifest_value"
    """A field of the manifest has a wrong type or form."""
    NAME = "name"
    """A file, table or id has a name that is not allowed in an archive, or a name occurs twice."""
    NOT_PLAIN = "not_plain"
    """There is a link, a pipe, a device or an extended header where only files and folders are allowed."""
    UNLISTED_FILE = "unlisted_file"
    """A file is not listed in the manifest."""
    MISSING_FILE = "missing_file"
    """A file that the manifest lists is missing."""
    SIZE = "size"
    """The size of a file differs from the manifest."""
    CHECKSUM = "checksum"
    """The checksum of a file differs from the manifest, or the file cannot be read."""
    TRUNCATED = "truncated"
    """A tar file ends in the middle."""
    TOO_LARGE = "too_large"
    """The archive exceeds the limits, or a file exceeds its largest size."""
    PARQUET = "parquet"
    """A table is not a readable Parquet file."""
    SCHEMA = "schema"
    """The columns of a table differ from those of molbuffer."""
    ROWS = "rows"
    """The rows of a table differ from the manifest or from its footer."""
    MEMORY = "memory"
    """A table cannot be decoded in the memory and time that its size allows."""
    ARRAYS = "arrays"
    """Arrays have headers that molbuffer does not write, or do not belong to the builds."""
    POLICY = "policy"
    """A policy is neither safetensors nor JSON, is not listed, or descends from itself."""
    CONTENT = "content"
    """Rows contradict each other, or the arrays and policies that they name."""
    NOTHING_CHOSEN = "nothing_chosen"
    """No row was chosen for a new archive."""
    EXPIRED = "expired"
    """The snapshot expired while the archive was made."""


class ArchiveError(StoreError):
    """An archive is damaged, too large or inconsistent; or there is nothing to archive.

    Attributes:
        fault: the fault of the archive.
    """

    def __init__(self, message: str, fault: ArchiveFault) -> None:
        # Both arguments, so that the error can be pickled.
        super().__init__(message, fault)
        self.fault = fault

    def __str__(self) -> str:
        return str(self.args[0])


class MergeConflictError(StoreError):
    """An archive contradicts the store that it is merged into; the store was not changed."""


class QueryError(StoreError):
    """A query failed."""


class QueryRefusedError(QueryError):
    """A query is not exactly one statement that reads."""


class QueryNameError(QueryError):
    """A query names a table, view or function that is not there."""


class QueryTimeoutError(QueryError):
    """A query exceeds its time limit."""


class QueryTooLargeError(QueryError):
    """A query exceeds its memory limit."""


class PredicateError(QueryError):
    """A predicate over rows cannot be applied."""


def may_pass(error: object) -> bool:
    """Return whether another attempt, a few seconds later, may succeed.

    It may if the catalog or its server failed, if another process held the lock, or if a network, an object store or a
    file system failed, also as the cause of an error of the store. It may not if the disk is full or read-only, or if a
    file is missing or not readable by this user.
    """
    if isinstance(error, OSError):
        return not isinstance(error, _LASTING) and error.errno not in _LASTING_NUMBERS
    if isinstance(error, (CatalogUnavailableError, StoreBusyError)):
        return True
    return isinstance(error, StoreError) and isinstance(error.__cause__, OSError) and may_pass(error.__cause__)
