"""Opening text files of users: lines of UTF-8, or an error that names the format or encoding found instead."""

from __future__ import annotations

import gzip
import io
import shlex
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from molbuffer.samplers.errors import SmilesFileError

LONGEST_LINE = 2**24
"""The largest number of bytes of a line; a file without line ends would otherwise have to fit into memory."""
_HEAD = 4096

_SIGNATURES = (
    (b"PK\x03\x04", "a zip file, as Excel workbooks (.xlsx) are; unpack it, or save the sheet as CSV UTF-8"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook (.xls) or another OLE file; save the sheet as CSV UTF-8"),
    (b"PAR1", "a Parquet file; let its name end in .parquet"),
    (b"\x1f\x8b", "compressed with gzip; let its name end in .gz, once for each compression, or unpack it"),
    (b"BZh", "compressed with bzip2; unpack it, or compress it with gzip"),
    (b"\xfd7zXZ", "compressed with xz; unpack it, or compress it with gzip"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd; unpack it, or compress it with gzip"),
    (b"ARROW1", "an Arrow (Feather) file; write it as Parquet"),
    (b"%PDF", "a PDF document"),
)
_MARKUP = (b"<!doctype", b"<html", b"<head", b"<?xml")
_MARKS = (
    (b"\xff\xfe\x00\x00", "UTF-32"),
    (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)


def is_compressed(path: Path) -> bool:
    """Return whether the name of a file ends in .gz, for gzip."""
    return path.suffix.lower() == ".gz"


def check_signature(path: Path, head: bytes, wanted: bytes = b"") -> None:
    """Refuse a file whose first bytes are those of another format.

    Args:
        path: the file.
        head: the first bytes of the file.
        wanted: the signature that the file must have; empty for text.

    Raises:
        SmilesFileError: the bytes are those of another known format, or lack the wanted signature.
    """
    for signature, kind in _SIGNATURES:
        if signature != wanted and head.startswith(signature):
            raise SmilesFileError(path, f"this is {kind}")
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(_MARKUP):
        raise SmilesFileError(
            path, "this is an HTML or XML document, as a failed download leaves it; get the file itself"
        )
    if head and not head.startswith(wanted):
        raise SmilesFileError(path, f"expected the first bytes {wanted!r}, got {head[: len(wanted)]!r}")


@contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """Open a text file in UTF-8, with or without a byte order mark, compressed if its name ends in .gz.

    Lines keep their ends, which may be those of any operating system.

    Raises:
        SmilesFileError: also while it is read: the file has another format or encoding, is damaged, has NUL bytes, or
            has a line of more than ``LONGEST_LINE`` bytes.
        OSError: the file cannot be opened.
    """
    with path.open("rb") as file:
        if is_compressed(path):
            head = file.read(2)
            if head and head != b"\x1f\x8b":
                raise SmilesFileError(path, "this is not compressed with gzip; let its name end without .gz")
            file.seek(0)
        with gzip.GzipFile(fileobj=file) if is_compressed(path) else nullcontext(file) as source:
            screened = _ScreenedBytes(path, cast(BinaryIO, source))
            try:
                # utf-8-sig, since a byte order mark would otherwise become a part of the first molecule.
                yield io.TextIOWrapper(cast(BinaryIO, screened), encoding="utf-8-sig", newline="")
            except UnicodeDecodeError as error:
                raise screened.not_utf_8(error) from error


class _ScreenedBytes(io.BufferedIOBase):
    """The bytes of a file; bytes that cannot be text raise an error with their line."""

    def __init__(self, path: Path, source: BinaryIO) -> None:
        self._path, self._source = path, cast(io.BufferedReader, source)
        self._ended_lines = self._unended = self._lines_before = 0
        self._last = b""
        self._head: bytes | None = self._read(_HEAD, whole=True)
        check_signature(path, self._head)
        self._check_encoding(self._head)

    def readable(self) -> bool:
        return True

    def read1(self, size: int = -1, /) -> bytes:
        """Return the next bytes, for a TextIOWrapper."""
        data, self._head = (self._read(size), None) if self._head is None else (self._head, None)
        self._lines_before = self._ended_lines
        if (at := data.find(0)) >= 0:
            raise SmilesFileError(
                self._path,
                "it has NUL bytes, which text cannot have: the file is damaged, or is not text",
                self._line_at(data, at),
            )
        self._ended_lines += self._line_ends(data)
        last_end = max(data.rfind(b"\n"), data.rfind(b"\r"))
        self._unended = len(data) - last_end - 1 if last_end >= 0 else self._unended + len(data)
        if self._unended > LONGEST_LINE:
            raise SmilesFileError(
                self._path, f"the line has more than {LONGEST_LINE:,} bytes: is this text?", self._ended_lines + 1
            )
        self._last = data[-1:] or self._last
        return data

    def not_utf_8(self, error: UnicodeDecodeError) -> SmilesFileError:
        """Return the error for the last bytes, which could not be decoded."""
        line = self._lines_before + _line_ends(error.object[: error.start]) + 1
        found = f"the byte 0x{error.object[error.start]:02X} is not UTF-8, maybe Windows-1252 or Latin-1"
        return SmilesFileError(self._path, f"{found}; {self._conversion('WINDOWS-1252')}", line)

    def _read(self, size: int, *, whole: bool = False) -> bytes:
        try:
            return self._source.read(size) if whole else self._source.read1(size)
        except (OSError, EOFError, zlib.error) as error:
            raise SmilesFileError(self._path, f"it cannot be read further: {error}", self._ended_lines + 1) from error

    def _check_encoding(self, head: bytes) -> None:
        for mark, encoding in _MARKS:
            if head.startswith(mark):
                raise SmilesFileError(
                    self._path, f"this is {encoding}, by its byte order mark; {self._conversion(encoding)}", 1
                )
        for start, encoding in ((1, "UTF-16LE"), (0, "UTF-16BE")):
            # Text that is mostly ASCII has a NUL in each second byte.
            if head[start::2].count(0) * 4 > len(head):
                raise SmilesFileError(
                    self._path, f"this is {encoding}, by its NUL bytes; {self._conversion(encoding)}", 1
                )

    def _conversion(self, encoding: str) -> str:
        reader = "gunzip -c" if is_compressed(self._path) else "cat"
        iconv = f"iconv -f {encoding} -t UTF-8"
        return f"expected UTF-8, convert it by: {reader} {shlex.quote(str(self._path))} | {iconv} > FILE"

    def _line_at(self, data: bytes, at: int) -> int:
        return self._ended_lines + self._line_ends(data[:at]) + 1

    def _line_ends(self, data: bytes) -> int:
        """Count the line ends in data; a CR and LF that are split between the previous data and these count once."""
        return _line_ends(data) - (self._last == b"\r" and data.startswith(b"\n"))


def _line_ends(data: bytes) -> int:
    return data.count(b"\n") + data.count(b"\r") - data.count(b"\r\n")
