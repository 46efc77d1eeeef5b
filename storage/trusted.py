"""Open an archive of anybody for use, once all of it was verified.

This is not in ``archive``, on which the store and its verification rest: it verifies with the rules of ``verify``, and
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
    """Open an archive for reading, once all of it was verified; a tar file is unpacked for as long as this lasts.

    Args:
        path: a folder or a tar file.
        limits: what it may take.
        migrations: those of this release.

    Raises:
        StoreNotFoundError: there is nothing at the path.
        ArchiveError: it is no archive, is damaged, exceeds the limits, or is not what it says.
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
                said = f"{path} is not what an archive is, and is not used: {error.message}"
                raise ArchiveError(said, error.fault or ArchiveFault.CONTENT)
            yield archive, manifest
