"""Explanations of errors of the operating system: what is wrong, and what the user can do.

Errors of DuckDB, SQLite and Arrow quote the system's message in their text, so that the text is searched as well.
"""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable, Mapping


def system_advice(error: BaseException) -> str | None:
    """Return what is wrong and what to do, as sentences; None for an error that is not known to be the system's."""
    number = system_number(error)
    return None if number is None or number not in _ADVICE else _ADVICE[number]()


def system_number(error: BaseException) -> int | None:
    """Return the errno of the system's error, also of an error that only quotes its text; None if it is not known."""
    if isinstance(error, OSError) and error.errno is not None and error.errno in _ADVICE:
        return error.errno
    text = str(error)
    # Longest first: "Too many open files in system" (ENFILE) begins with the text of EMFILE.
    for number in sorted(_ADVICE, key=lambda number: -len(os.strerror(number))):
        if os.strerror(number) in text:
            return number
    for words, number in _WORDS.items():
        if words in text:
            return number
    if _NOT_OPENED in text and _no_file_can_be_opened():
        # SQLite gives no reason when it cannot open its file.
        return errno.EMFILE
    return error.errno if isinstance(error, OSError) else None


def _too_many_open_files() -> str:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = "without limit" if hard == resource.RLIM_INFINITY else f"up to {hard}"
    return (
        f"This process has as many files open as it may have at once: {soft} (`ulimit -n`). Raise the limit before it "
        f"starts, for instance with `ulimit -n 65536` ({most} without an administrator)"
    )


def _as_it_is(text: str) -> Callable[[], str]:
    return lambda: text


_ADVICE: Mapping[int, Callable[[], str]] = {
    errno.EMFILE: _too_many_open_files,
    errno.ENFILE: _as_it_is(
        "All programs of this machine together have too many files open (/proc/sys/fs/file-max): end some, or ask an "
        "administrator to raise the limit"
    ),
    errno.ENOSPC: _as_it_is(
        "The disk is full (`df -h`, or `df -i` for its number of files). Free some space, then try again"
    ),
    errno.EDQUOT: _as_it_is("Your quota of the disk is used up (`quota -s`). Free some space, then try again"),
    errno.EFBIG: _as_it_is("The file would be larger than this file system, or `ulimit -f`, allows: raise the limit"),
    errno.EROFS: _as_it_is(
        "The disk is mounted read-only: use a copy of the folder, or have it mounted for writing (a disk that fails is "
        "often mounted read-only by the system: see `dmesg`)"
    ),
    errno.EACCES: _as_it_is("The permissions of the file or its folder forbid it: see `ls -l`, and ask who owns it"),
    errno.EPERM: _as_it_is("The system forbids it to this user: see `ls -l` and `lsattr`, and ask who owns the file"),
    errno.EIO: _as_it_is("The disk failed: look at `dmesg`, and copy the folder to another disk"),
    errno.ESTALE: _as_it_is("The network file system has lost the file: mount it again, then start again"),
    errno.ENOMEM: _as_it_is("There is not enough memory: end other programs, or use a machine with more"),
    errno.ENAMETOOLONG: _as_it_is("The name of the file is too long for this file system: use a shorter folder"),
}
"""What is wrong and what to do, by the number of the error."""

# Messages of SQLite, which does not quote the system's message for these errors.
_WORDS = {"database or disk is full": errno.ENOSPC, "disk is full": errno.ENOSPC, "disk I/O error": errno.EIO}
_NOT_OPENED = "unable to open database file"


def _no_file_can_be_opened() -> bool:
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno in (errno.EMFILE, errno.ENFILE)
    return False
