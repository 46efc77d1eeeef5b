"""The list of the snapshots of a store, and the pins that keep them from expiring.

newest           the newest snapshot
run              ``runs.pinned_snapshot`` of every run, finished or not, since a training that is repeated or resumed in
                 a year must find the rows that it read
checkpoint       the snapshot of the loader, for the checkpoints from which a run can still be resumed
archive          the snapshot of a finished or unfinished archive
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from molbuffer.storage.catalog import ReadableCatalog
from molbuffer.storage.files import CHECKSUMS_KEY
from molbuffer.storage.layout import Layout
from molbuffer.storage.maintenance.pins import archive_pins

KEPT_CHECKPOINTS = 2
"""The number of newest checkpoints of a run that are kept; of a finished run, only the last one is."""

# The newest checkpoints of each run; the others can be removed.
KEPT = """SELECT run_id, iteration, folder, snapshot FROM (
        SELECT *, row_number() OVER (PARTITION BY run_id ORDER BY iteration DESC) AS place FROM {checkpoints}
    ) LEFT JOIN {run_states} AS states USING (run_id)
    WHERE place <= CASE status WHEN 'finished' THEN 1 ELSE ? END"""
_PINS = f"""
    SELECT pinned_snapshot AS snapshot, 'run ' || run_id AS pinned_by FROM {{runs}}
    UNION ALL SELECT snapshot, 'checkpoint ' || run_id || ' ' || iteration FROM ({KEPT})
    UNION ALL SELECT snapshot, 'archive ' || archive_id FROM {{archives}}"""


@dataclass(frozen=True)
class Snapshot:
    """A version of a store.

    Attributes:
        version: the number of the snapshot.
        created: the time of the commit, in UTC.
        author: the author of the snapshot.
        message: the message of the snapshot.
        extra: provenance, such as the ``runs``, ``builds`` and number of ``samples`` of the commit.
        pinned_by: the pins that keep the snapshot from expiring; empty without pins.
    """

    version: int
    created: datetime
    author: str | None
    message: str | None
    extra: Mapping[str, Any]
    pinned_by: tuple[str, ...]


def list_snapshots(
    catalog: ReadableCatalog, layout: Layout, kept_checkpoints: int = KEPT_CHECKPOINTS
) -> list[Snapshot]:
    """Return all readable snapshots, the oldest first."""
    pinned = pins(catalog, layout, kept_checkpoints)
    return [
        Snapshot(
            version=version,
            created=datetime.fromtimestamp(created / 1e6, UTC).replace(tzinfo=None),
            author=author,
            message=message,
            extra=_provenance(extra),
            pinned_by=tuple(pinned.get(version, ())),
        )
        for version, created, author, message, extra in catalog.versions()
    ]


def pins(catalog: ReadableCatalog, layout: Layout, kept_checkpoints: int = KEPT_CHECKPOINTS) -> dict[int, list[str]]:
    """Return the pins of each pinned snapshot, by the number of the snapshot."""
    # Read before the rows, since an archive that is finished in between has a row by then.
    being_made = archive_pins(layout)
    found: dict[int, list[str]] = {catalog.newest(): ["newest"]}
    for pin in being_made:
        found.setdefault(pin.version, []).append(f"archive {pin.archive_id}, unfinished")
    for row in catalog.read(_PINS, parameters=[kept_checkpoints]).to_pylist():
        if row["snapshot"] is not None:
            found.setdefault(row["snapshot"], []).append(row["pinned_by"])
    return found


def _provenance(extra: str | None) -> dict[str, Any]:
    """Return the provenance of a snapshot from its JSON, without the checksums of files, which are for ``verify``."""
    recorded: dict[str, Any] = json.loads(extra) if extra else {}
    return {name: value for name, value in recorded.items() if name != CHECKSUMS_KEY}
