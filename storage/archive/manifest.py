"""The manifest of an archive: ``archive.json``, the list of its files, tables and origin.

    ARCHIVE/
      archive.json                     format, identity, source, snapshot, selection, rows of each table; each file
      tables/<table>/<number>.parquet  the rows, readable by any program that reads Parquet
      arrays/<segment>/…               Zarr groups, as in a store
      policies/<sha256>/…              weights, configurations and vocabularies
      ro-crate-metadata.json           what each file is, for catalogues of research data; it is not read

A manifest is untrusted. It is read within limits on its size and structure, and only the fields of ``Manifest`` are
used, each of exactly the type and the form that molbuffer writes.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from molbuffer.storage.errors import ArchiveError, ArchiveFault
from molbuffer.storage.files import NotPlainError, TooLargeError, plain_file
from molbuffer.storage.segments import ARRAYS

MANIFEST, CRATE = "archive.json", "ro-crate-metadata.json"
ARCHIVE_FORMAT, ARCHIVE_VERSION = "molbuffer-archive", 2
OLD_FORM = frozenset({"catalog.sqlite", "checksums.json", "store.toml"})
"""The names of files in archives of the first format, which had a catalog that had to be attached."""

ARCHIVED_TABLES = (
    *("samples", "builds", "readmitted", "rewards", "consumed"),
    *("scores", "metrics", "policies", "runs", "run_events", "objectives", "bucketed_molecules"),
    "poses",
)
"""The tables that an archive can have."""

MEMBER = re.compile(
    rf"tables/(?P<table>{'|'.join(ARCHIVED_TABLES)})/[0-9]{{5}}\.parquet"
    rf"|arrays/[0-9a-f]{{32}}/(zarr\.json|({'|'.join(ARRAYS)})/(zarr\.json|c(\.[0-9]{{1,9}}){{1,2}}))"
    r"|policies/[0-9a-f]{64}/[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}"
    rf"|{re.escape(CRATE)}",
    re.ASCII,
)
"""The form of the names of the files that a manifest may list."""

_MOST_BYTES = 64 << 20
_MOST_STRUCTURE_BESIDE_FILES = 100_000
_LARGEST_NUMBER = 2**63 - 1


@dataclass(frozen=True)
class ArchiveLimits:
    """The limits of an archive, so that a small file cannot fill a disk or the memory.

    Attributes:
        bytes: the largest size of all files together, in bytes, and again of all decoded arrays.
        files: the largest number of files.
    """

    bytes: int = 200 * 10**9
    files: int = 200_000


ALREADY_HERE = ArchiveLimits(bytes=sys.maxsize, files=1_000_000)
"""The limits of an archive in a folder, which is on this disk already."""


_STRICT = ConfigDict(extra="forbid", strict=True)
_Count = Annotated[int, Field(ge=0, le=2**63 - 1)]
_Name = Annotated[str, Field(max_length=200)]
_Uuid = Annotated[str, Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]


@dataclass(frozen=True)
class ListedFile:
    """The entry of a file in a manifest.

    Attributes:
        bytes: the size of the file.
        sha256: the hash of its content.
    """

    __pydantic_config__ = _STRICT

    bytes: _Count
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The content of ``archive.json``.

    Attributes:
        format: the name of the format.
        version: the version of the format.
        uuid: the identity of the archive.
        source_uuid: the identity of the store of the rows.
        snapshot: the snapshot of that store.
        schema: the number of the newest migration whose columns the tables have.
        runs: the ids of the runs that were chosen; empty for all runs.
        where: the condition that the rows fulfil; None without a condition.
        rows: the number of rows of ``samples``.
        builds: the number of rows of ``builds``.
        tables: the number of rows of each table.
        molbuffer: the release of molbuffer that made the archive.
        created: the time at which the archive was made, in UTC.
        files: the entries of all other files, by the path in the archive.
    """

    __pydantic_config__ = _STRICT

    format: str = ARCHIVE_FORMAT
    version: int = ARCHIVE_VERSION
    uuid: _Uuid
    source_uuid: _Uuid
    snapshot: _Count
    schema: _Count
    runs: tuple[_Name, ...]
    where: Annotated[str, Field(max_length=100_000)] | None
    rows: _Count
    builds: _Count
    tables: Mapping[str, _Count]
    molbuffer: _Name
    created: Annotated[str, Field(pattern=r"^[0-9T:-]{19}$")]
    files: Mapping[str, ListedFile]

    def to_bytes(self) -> bytes:
        """Return the content of the file."""
        return (json.dumps(asdict(self), indent=1) + "\n").encode()

    @property
    def content(self) -> str:
        """The sha256 of the manifest, which covers the whole archive, since it lists every file with its hash."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def tables_without(self, broken: Collection[str]) -> Manifest:
        """Return the manifest without the files and rows of some tables."""
        kept = {name: file for name, file in self.files.items() if table_of(name) not in broken}
        return replace(self, files=kept, tables=dict(self.tables) | dict.fromkeys(broken, 0))


def table_of(name: str) -> str | None:
    """Return the table that a file of an archive belongs to; None for other files."""
    match = MEMBER.fullmatch(name)
    return None if match is None else match["table"]


def is_archive(folder: Path) -> bool:
    """Return whether a folder has a manifest of an archive in any format; it is then never opened as a store."""
    return (folder / MANIFEST).exists() or (folder / MANIFEST).is_symlink()


def read_manifest(folder: Path, limits: ArchiveLimits = ArchiveLimits()) -> Manifest:
    """Return the manifest of an archive.

    Raises:
        ArchiveError: the manifest is missing, is not a plain file, has another form than molbuffer writes, or exceeds
            the limits.
    """
    path = folder / MANIFEST
    if not is_archive(folder):
        raise ArchiveError(f"{folder} is no archive: it has no {MANIFEST}", ArchiveFault.NOT_AN_ARCHIVE)
    with _refused(path, ArchiveFault.CHECKSUM):
        content = plain_file(path, _MOST_BYTES)
    with _refused(path, ArchiveFault.MANIFEST_SYNTAX):
        values = strict_json(content, structure=4 * limits.files + _MOST_STRUCTURE_BESIDE_FILES)
    with _refused(path, ArchiveFault.MANIFEST_VALUE):
        _check_form(values, folder)
        manifest = _MANIFEST.validate_json(content)
        datetime.fromisoformat(manifest.created)
    with _refused(path, ArchiveFault.NAME):
        _check_names(manifest)
    check_limits(folder, sum(file.bytes for file in manifest.files.values()), len(manifest.files), limits)
    return manifest


_MANIFEST = TypeAdapter(Manifest)


@contextmanager
def _refused(path: Path, fault: ArchiveFault) -> Iterator[None]:
    """Raise errors of reading a manifest as an ``ArchiveError``."""
    try:
        yield
    except (OSError, ValueError) as error:
        if isinstance(error, NotPlainError):
            fault = ArchiveFault.NOT_PLAIN
        elif isinstance(error, TooLargeError):
            fault = ArchiveFault.TOO_LARGE
        said = f"{path} is no manifest of an archive: {_one_line(error)}. Take another copy of the archive"
        raise ArchiveError(said, fault) from error


def _one_line(error: OSError | ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return f"{'.'.join(str(part)[:100] for part in first['loc'])}: {first['msg']}"


def _check_names(manifest: Manifest) -> None:
    if unknown := sorted(manifest.tables.keys() - {*ARCHIVED_TABLES}):
        raise ValueError(f"no archive has the tables {[name[:100] for name in unknown[:20]]}")
    for name in manifest.files:
        if not MEMBER.fullmatch(name):
            raise ValueError(f"no archive has a file {name[:200]!r}")
    if len({name.casefold() for name in manifest.files}) != len(manifest.files):
        raise ValueError("two of its files have names that differ only in case")


def check_limits(archive: Path, size: int, files: int, limits: ArchiveLimits) -> None:
    """Refuse an archive that exceeds the limits.

    Args:
        archive: the path of the archive, which the error names.
        size: the size of its files so far, in bytes.
        files: the number of its files so far.
        limits: the limits.

    Raises:
        ArchiveError: the size or the number of files exceeds its limit.
    """
    if size > limits.bytes or files > limits.files:
        raise ArchiveError(
            f"{archive} takes {size} bytes in {files} files or more, the limits are {limits.bytes} (of a tar file also "
            f"what is free in the folder for temporary files, TMPDIR) and {limits.files}; raise them if you trust it",
            ArchiveFault.TOO_LARGE,
        )


def old_form(archive: Path) -> ArchiveError:
    """Return the error for an archive of the first format, which had a catalog of its own."""
    return ArchiveError(
        f"{archive} is an archive of an earlier release with a catalog, which this release does not read: "
        "make it again from its store with `molbuffer archive` of this release",
        ArchiveFault.OLDER_FORM,
    )


def strict_json(content: bytes, *, structure: int, fractions: bool = False, constants: bool = False) -> Any:
    """Return the values of an untrusted JSON text.

    Args:
        content: the text.
        structure: the largest number of brackets and commas, which limits the memory.
        fractions: whether numbers may have a fraction.
        constants: whether numbers may be NaN or Infinity, as Python writes them.

    Raises:
        ValueError: the text is not JSON, or has a key twice, an unusual number, or too much structure.
    """
    found = sum(content.count(character) for character in (b"[", b"{", b","))
    if found > structure:
        raise ValueError(f"it has {found} brackets and commas, expected at most {structure}")
    try:
        return json.loads(
            content.decode(),
            object_pairs_hook=_unique,
            parse_constant=float if constants else _refuse_number,
            parse_int=_whole_number,
            parse_float=_fraction if fractions else _refuse_number,
        )
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError(f"it has a key twice among {[key[:100] for key, _ in pairs[:20]]}")
    return found


def _whole_number(text: str) -> int:
    if len(text) > 20 or abs(number := int(text)) > _LARGEST_NUMBER:
        _refuse_number(text)
    return number


def _fraction(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse_number(text)


def _refuse_number(text: str) -> NoReturn:
    raise ValueError(f"it has the number {text[:40]}")


def _check_form(values: Any, folder: Path) -> None:
    form = values.get("format") if isinstance(values, dict) else None
    if form == "molbuffer-archive-1":
        raise old_form(folder)
    version = values.get("version") if form == ARCHIVE_FORMAT else None
    if type(version) is int and version > ARCHIVE_VERSION:
        said = f"{folder} is of version {version}, this release reads {ARCHIVE_VERSION}: update molbuffer"
        raise ArchiveError(said, ArchiveFault.NEWER_RELEASE)
    if version != ARCHIVE_VERSION:
        raise ValueError(f"expected the format {ARCHIVE_FORMAT!r} of version {ARCHIVE_VERSION}")
