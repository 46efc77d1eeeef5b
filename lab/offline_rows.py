"""The rows of an offline training: those of the store it writes to, or of an archive, which it cannot write to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from molbuffer.storage import (
    ArchiveLimits,
    RunConflictError,
    SampleStore,
    StoreModeError,
    UnknownRunError,
    trusted_archive,
)


@dataclass(frozen=True)
class OfflineRows:
    """Stored rows as of a snapshot.

    Attributes:
        store: the store or the archive with the rows.
        snapshot: the snapshot; None is the one that the run pins in its own store.
        archive: the identity of the archive, for the record of the run; None when the rows are in the run's own
            store.
    """

    store: SampleStore
    snapshot: int | None = None
    archive: Mapping[str, str | int] | None = None

    def record(self, selection: Mapping[str, object]) -> str:
        """Return the record of a run's selection of these rows, as JSON."""
        return json.dumps(selection if self.archive is None else {**selection, "archive": self.archive})


@contextmanager
def opened_rows(own: SampleStore, archive: str | None, limits: ArchiveLimits) -> Iterator[OfflineRows]:
    """Open the rows to train on; an archive in a tar file is checked, and unpacked for the time of the context.

    Args:
        own: the store for the run and its policy.
        archive: the path of an archive; None is ``own``.
        limits: the limits on the archive's size.

    Raises:
        StoreModeError: ``own`` is an archive.
        ArchiveError: the archive is damaged or not what it says.
    """
    refuse_archive(own)
    if archive is None:
        yield OfflineRows(own)
        return
    with trusted_archive(Path(archive), limits) as (opened, manifest):
        version = opened.snapshot()
        identity: dict[str, str | int] = {"uuid": manifest.uuid, "snapshot": version, "content": opened.cache_key}
        identity |= {"source_uuid": manifest.source_uuid, "source_snapshot": manifest.snapshot}
        yield OfflineRows(opened, version, identity)


def refuse_archive(own: SampleStore) -> None:
    """Refuse an archive as the store of a run.

    Raises:
        StoreModeError: the store is an archive.
    """
    if own.archived:
        raise StoreModeError(
            f"{own.path} is an archive, and no run or policy can be written there: name a store for the run and its "
            f"policy; an offline training reads the rows from the archive, as in --store DIR --from {own.path}"
        )


def refuse_other_archive(store: SampleStore, run_id: str, rows: OfflineRows) -> None:
    """Refuse to resume a run with other rows than those it began with.

    Raises:
        RunConflictError: the run began with another archive, or with its own store.
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
