"""The errors of the store, told apart by type.

    StoreError
    ├── StoreNotFoundError      there is no store at a path
    ├── StoreExistsError        there is already something at the path of a new store
    ├── StoreFormatError        store.toml or the tables are damaged, or of a newer release
    ├── StoreModeError          writing to a store opened for reading, or using a closed one
    ├── StoreBusyError          others held the commit lock for too long
    ├── CatalogUnavailableError the catalog or its server failed; trying again may go well
    ├── CatalogDamagedError     the catalog is damaged
    ├── CatalogLostError        a store has its data, and not its catalog
    ├── StoreMovedError         a store was moved, removed or replaced while it was open
    ├── StoreFileError          the system refused to read or write a file
    ├── RecoveryError           a catalog cannot be made anew, or need not be
    ├── VacuumRefusedError      a vacuum would remove most of the store
    ├── MaintenanceBusyError    another process compacts, expires or vacuums the store
    ├── StorePlaceError         the file system cannot hold a store that is written to
    ├── StoreWriteError         the disk is full, read-only or failed; nothing of a commit is visible
    ├── ExtensionError          DuckDB's extensions cannot be loaded
    ├── UnknownRunError         no run, or several, go by an id or prefix
    ├── RunConflictError        a run id is known with another configuration or objective
    ├── UnknownObjectiveError   no run or reward has an objective
    ├── UnknownBuildError       no build goes by an id
    ├── PartialBuildError       only some rows of a build are in this store
    ├── UnknownPolicyError      no policy, or several, go by a hash or prefix
    ├── PolicyDamagedError      a policy's files are not those that were stored
    ├── FileDamagedError        a file is not as it was written: a bit has flipped, or it was replaced
    ├── UnknownSnapshotError    the store has no such snapshot, or no longer
    ├── ArraysError             a segment of arrays is missing, damaged or cannot be written
    ├── CacheError              the decoded cache cannot be written (the disk is full)
    ├── ArchiveError            an archive is damaged, too large or not what it says; or there is nothing to archive
    ├── MergeConflictError      an archive contradicts the store that it is to be brought into
    └── QueryError              a query of a user failed; the message is one line
        ├── QueryRefusedError   anything but one statement that reads
        ├── QueryNameError      a query names a table, view or function that is not there
        ├── QueryTimeoutError   a query took longer than it may
        ├── QueryTooLargeError  a query needs more memory than it may have
        └── PredicateError      a selection of rows cannot be made as asked

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
    """The catalog, or the server that has it, failed or cannot be reached; trying again may go well."""


class CatalogDamagedError(StoreError):
    """The catalog is damaged: ``molbuffer recover`` makes it anew, or restores a backup."""


class CatalogLostError(StoreError):
    """A store has its data, and not its catalog: nothing was changed, and nothing is made in its place.

    Attributes:
        reason: missing, empty (no byte, or none of DuckLake's tables), or foreign (that of another store).
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class StoreMovedError(StoreError):
    """A store was moved, removed or replaced while it was open: open it again, where it is now."""


class StoreFileError(StoreError, OSError):
    """The system refused to read or write a file, of the store or of the caller.

    Attributes:
        errno: the number of the system's error, if it gave one.
    """

    def __init__(self, message: str, errno: int | None = None) -> None:
        super().__init__(message)
        self.errno = errno


class RecoveryError(StoreError):
    """The catalog of a store cannot be made anew, or need not be; nothing was changed."""


class VacuumRefusedError(StoreError):
    """A vacuum would remove most of the store, of which the catalog knows nothing; nothing was removed.

    Attributes:
        unknown: how many files and folders it would remove that the catalog never named.
        known: how many it would leave.
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
        errno: the number of the system's error, as far as it is known.
    """

    def __init__(self, message: str, errno: int | None = None) -> None:
        super().__init__(message)
        self.errno = errno


class ExtensionError(StoreError):
    """DuckDB's extensions cannot be loaded."""


class UnknownRunError(StoreError, LookupError):
    """No run, or more than one, goes by an id or a prefix of one."""


class RunConflictError(StoreError):
    """A run id is already known with another configuration or objective."""


class UnknownObjectiveError(StoreError, LookupError):
    """No run and no reward of the store has an objective."""


class UnknownBuildError(StoreError, LookupError):
    """No build goes by an id."""


class PartialBuildError(StoreError):
    """Only some rows of a build are in this store."""


class UnknownPolicyError(StoreError, LookupError):
    """No policy, or more than one, goes by a hash or a prefix of one."""


class PolicyDamagedError(StoreError):
    """A policy's files are not those that were stored."""


class FileDamagedError(StoreError):
    """A file of the store is not as it was written.

    Attributes:
        path: of the file.
    """

    def __init__(self, path: object, fault: str, advice: str = "restore this file from a backup") -> None:
        super().__init__(f"{path} is damaged: {fault}; {advice}, and look for others with `molbuffer verify`")
        self.path = path


class UnknownSnapshotError(StoreError, LookupError):
    """The store has no such snapshot, or no longer: an expiry removed it."""


class ArraysError(StoreError):
    """A segment of arrays is missing, damaged, or cannot be written."""


class CacheError(StoreError):
    """The decoded cache cannot be written."""


class ArchiveFault(StrEnum):
    """What is wrong with an archive, or with making one."""

    NOT_AN_ARCHIVE = "not_an_archive"
    """There is no manifest, or no tar file."""
    OLDER_FORM = "older_form"
    """It has a catalog, as archives of earlier releases had."""
    NEWER_RELEASE = "newer_release"
    """Its version or its schema is of a later release."""
    MANIFEST_SYNTAX = "manifest_syntax"
    """The manifest is no JSON, or JSON with unusual numbers, keys that are there twice, or too much structure."""
    MANIFEST_VALUE = "manifest_value"
    """A field of the manifest has another type or form."""
    NAME = "name"
    """A file, table or id has a name that no archive has, or one name is there twice."""
    NOT_PLAIN = "not_plain"
    """A link, a pipe, a device or an extended header stands where only files and folders may."""
    UNLISTED_FILE = "unlisted_file"
    """A file is not in the manifest."""
    MISSING_FILE = "missing_file"
    """A file of the manifest is not there."""
    SIZE = "size"
    """A file has another size than the manifest lists."""
    CHECKSUM = "checksum"
    """A file has another content than the manifest lists, or cannot be read."""
    TRUNCATED = "truncated"
    """A tar file ends in the middle."""
    TOO_LARGE = "too_large"
    """It exceeds the limits, or a file is larger than it may be."""
    PARQUET = "parquet"
    """A table is no Parquet file that can be read."""
    SCHEMA = "schema"
    """A table has other columns than ours."""
    ROWS = "rows"
    """Tables have other rows than the manifest or their footers say."""
    MEMORY = "memory"
    """A table cannot be decoded in the memory and time that its size allows."""
    ARRAYS = "arrays"
    """Arrays have headers that molbuffer does not write, or are not those of the builds."""
    POLICY = "policy"
    """A policy is neither safetensors nor JSON, is not listed, or descends from itself."""
    CONTENT = "content"
    """Rows contradict each other, or the arrays and policies that they name."""
    NOTHING_CHOSEN = "nothing_chosen"
    """No row was chosen for a new archive."""
    EXPIRED = "expired"
    """The snapshot expired while it was archived."""


class ArchiveError(StoreError):
    """An archive is damaged, too large, or not what it says; or there is nothing to archive.

    Attributes:
        fault: what is wrong with it.
    """

    def __init__(self, message: str, fault: ArchiveFault) -> None:
        # Both, so that it can be pickled.
        super().__init__(message, fault)
        self.fault = fault

    def __str__(self) -> str:
        return str(self.args[0])


class MergeConflictError(StoreError):
    """An archive contradicts the store that it is to be brought into; the store was not changed."""


class QueryError(StoreError):
    """A query failed."""


class QueryRefusedError(QueryError):
    """A query is anything but one statement that reads."""


class QueryNameError(QueryError):
    """A query names a table, view or function that is not there."""


class QueryTimeoutError(QueryError):
    """A query took longer than it may."""


class QueryTooLargeError(QueryError):
    """A query needs more memory than it may have."""


class PredicateError(QueryError):
    """A predicate over rows cannot be applied."""


def may_pass(error: object) -> bool:
    """Return whether another attempt, a moment later, may succeed.

    So it is where the catalog or its server failed, others held the lock, or a network, an object store or a file
    system failed, also as the cause of an error of the store. A full or read-only disk, and a file that is missing or
    not ours to read, do not pass within seconds.
    """
    if isinstance(error, OSError):
        return not isinstance(error, _LASTING) and error.errno not in _LASTING_NUMBERS
    if isinstance(error, (CatalogUnavailableError, StoreBusyError)):
        return True
    return isinstance(error, StoreError) and isinstance(error.__cause__, OSError) and may_pass(error.__cause__)
