"""Where an offline training takes its rows from: the store it writes to, or an archive, which it cannot write to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from molbuffer.storage import SampleStore
from molbuffer.storage.archive.manifest import ArchiveLimits
from molbuffer.storage.errors import RunConflictError, StoreModeError, UnknownRunError
from molbuffer.storage.trusted import trusted_archive


@dataclass(frozen=True)
class OfflineRows:
    """Stored rows as of a version.

    Attributes:
        store: has them. snapshot: its version; None is what the run pins of its own store.
        archive: what a run says of the archive it reads; None when the rows are in its own store.
    """

    store: SampleStore
    snapshot: int | None = None
    archive: Mapping[str, str | int] | None = None

    def said(self, selection: Mapping[str, object]) -> str:
        """What a run records of its selection of these rows, as JSON."""
        return json.dumps(selection if self.archive is None else {**selection, "archive": self.archive})


@contextmanager
def offline_rows(own: SampleStore, archive: str | None, limits: ArchiveLimits) -> Iterator[OfflineRows]:
    """The rows to train on; an archive in a tar file is unpacked and checked for as long as this lasts.

    Args:
        own: the store for the run and its policy.
        archive: the path of an archive; None is ``own``.

    Raises:
        StoreModeError: ``own`` is an archive.
        ArchiveError: the archive is damaged or not what it says.
    """
    if own.archived:
        raise StoreModeError(
            f"{own.path} is an archive, and a new policy cannot be written there: name a store for the run and its "
            f"policy, and read the rows from the archive, as in --store DIR --from {own.path}"
        )
    if archive is None:
        yield OfflineRows(own)
        return
    with trusted_archive(Path(archive), limits) as (opened, manifest):
        version = opened.snapshot()
        said: dict[str, str | int] = {"uuid": manifest.uuid, "snapshot": version, "content": opened.cache_key}
        said |= {"source_uuid": manifest.source_uuid, "source_snapshot": manifest.snapshot}
        yield OfflineRows(opened, version, said)


def refuse_other_archive(store: SampleStore, run_id: str, rows: OfflineRows) -> None:
    """A run that goes on reads the archive that it began with, or its own store if it began with that.

    Raises:
        RunConflictError: it is another one.
    """
    try:
        selection = store.run(run_id).selection
    except UnknownRunError:
        return
    began = json.loads(selection or "{}").get("archive")
    if began == (dict(rows.archive) if rows.archive else None):
        return
    of = f"the archive {began['uuid']}: name it with --from" if began else f"the store {store.path}: leave --from out"
    raise RunConflictError(f"run {run_id} began with the rows of {of}")
