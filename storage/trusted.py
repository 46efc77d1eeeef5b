"""Opening of an untrusted archive, after a verification of all its content.

This module is not part of ``archive``, which the store and its verification import: it uses the rules of ``verify`` and
returns a ``SampleStore``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from molbuffer.storage.archive import (
    ArchiveCatalog,
    ArchiveLimits,
    Manifest,
    as_store,
    unpacked,
    verify_files,
    wrong_arrays,
)
from molbuffer.storage.catalog import MIGRATIONS, Migration
from molbuffer.storage.errors import ArchiveError, ArchiveFault, StoreNotFoundError
from molbuffer.storage.store import SampleStore
from molbuffer.storage.verify import Findings, check_content


@contextmanager
def trusted_archive(
    path: Path, limits: ArchiveLimits = ArchiveLimits(), migrations: Sequence[Migration] = MIGRATIONS
) -> Iterator[tuple[SampleStore, Manifest]]:
    """Verify an archive and open it for reading; a tar file is unpacked for the time of the context.

    Args:
        path: a folder or a tar file.
        limits: the limits of its sizes and numbers.
        migrations: the migrations of this release.

    Raises:
        StoreNotFoundError: there is nothing at the path.
        ArchiveError: the path is not an archive, or the archive is damaged, exceeds the limits, or is inconsistent.
    """
    if not path.is_dir() and not path.is_file():
        raise StoreNotFoundError(f"there is no archive at {path}")
    with nullcontext(path.resolve()) if path.is_dir() else unpacked(path, limits) as folder:
        manifest = verify_files(folder, limits)
        if (problem := wrong_arrays(folder, limits.bytes)) is not None:
            raise ArchiveError(f"{path} is not used: {problem.text}", problem.fault)
        catalog = ArchiveCatalog(folder, manifest, migrations)
        with SampleStore(as_store(catalog)) as archive:
            findings = Findings(lambda done, total: None)
            check_content(catalog, findings)
            for error in findings.report(manifest.snapshot).errors:
                said = f"{path} is not a consistent archive, and is not used: {error.message}"
                raise ArchiveError(said, error.fault or ArchiveFault.CONTENT)
            yield archive, manifest
