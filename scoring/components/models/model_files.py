"""The files of models, which are identified by their content and not by their names."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from molbuffer.scoring.errors import ScoringConfigurationError


def model_sha256(path: Path) -> str:
    """Return the sha256 of a file.

    Raises:
        ScoringConfigurationError: the file cannot be read.
    """
    try:
        status = path.stat()
        return _sha256(path, status.st_size, status.st_mtime_ns, status.st_ino)
    except OSError as error:
        raise ScoringConfigurationError(f"the model {path} cannot be read: {error.strerror}") from error


def model_bytes(path: Path, sha256: str) -> bytes:
    """Return the content of a file that has not changed since its hash was taken.

    Raises:
        ScoringConfigurationError: the file has changed, or cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ScoringConfigurationError(f"the model {path} cannot be read: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ScoringConfigurationError(
            f"the model {path} has changed since the run began; its scores belong to another version: start a new run"
        )
    return content


@cache
def _sha256(path: Path, _size: int, _modified: int, _inode: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
