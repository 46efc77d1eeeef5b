"""Digests of the files that the values of a component depend on, taken when the component was made."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from molbuffer.scoring.errors import ScoringConfigurationError


@dataclass(frozen=True)
class FileDigests:
    """The files that the values of a component depend on.

    Attributes:
        folder: the folder of files with relative names.
        names: the names of the files.
        of: the name of the component, for error messages.
    """

    folder: str
    names: Sequence[str]
    of: str

    @cached_property
    def known(self) -> list[str]:
        """The sha256 of each file at the first access to this property.

        Raises:
            ScoringConfigurationError: a file cannot be read.
        """
        return [self._now(name) for name in self.names]

    def check(self) -> None:
        """Refuse files that have changed.

        Raises:
            ScoringConfigurationError: the content of a file has changed, or the file cannot be read any more.
        """
        for name, digest in zip(self.names, self.known, strict=True):
            if self._now(name) != digest:
                raise ScoringConfigurationError(
                    f"{name!r}, of which {self.of} is made, has changed; its scores belong to another version: start a "
                    "new run"
                )

    def _now(self, name: str) -> str:
        path = Path(self.folder, name)
        try:
            status = path.stat()
            return _sha256_of_file(path, status.st_size, status.st_mtime_ns, status.st_ino)
        except OSError as error:
            raise ScoringConfigurationError(
                f"the file {name!r} of {self.of} cannot be read from {self.folder}: {error.strerror}"
            ) from error


@cache
def _sha256_of_file(path: Path, _size: int, _modified: int, _inode: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
