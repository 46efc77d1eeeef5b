"""How far a training run has come: its newest checkpoint, and the rows that were delivered to it."""

from __future__ import annotations

from molbuffer.storage.catalog.catalog import Catalog
from molbuffer.storage.layout import Layout
from molbuffer.storage.records import Consumed, StoredCheckpoint


def latest_checkpoint(catalog: Catalog, layout: Layout, run_id: str) -> StoredCheckpoint | None:
    """What ``SampleStore.latest_checkpoint`` returns."""
    found = catalog.read(
        """SELECT run_id, iteration, folder, snapshot FROM {checkpoints} WHERE run_id = ?
        ORDER BY iteration DESC""",
        parameters=[run_id],
    ).to_pylist()
    stored = (StoredCheckpoint(**(row | {"folder": layout.data / row["folder"]})) for row in found)
    # The rows of those that a vacuum removed stay.
    return next((checkpoint for checkpoint in stored if checkpoint.folder.exists()), None)


def consumed_rows(catalog: Catalog, run_id: str, up_to_iteration: int | None) -> list[Consumed]:
    """What ``SampleStore.consumed`` returns."""
    found = catalog.read(
        """SELECT eaten.build_id, list(eaten."row" ORDER BY eaten."row") AS rows, eaten.iteration
        FROM {consumed} AS eaten LEFT JOIN {builds} AS builds USING (build_id)
        WHERE eaten.run_id = ? AND (? IS NULL OR eaten.iteration <= ?)
        GROUP BY ALL
        ORDER BY eaten.iteration, any_value(builds.iteration), any_value(builds.event),
            any_value(builds.sampler_order), any_value(builds.chunk), eaten.build_id""",
        parameters=[run_id, up_to_iteration, up_to_iteration],
    )
    return [Consumed(row["build_id"], tuple(row["rows"]), row["iteration"]) for row in found.to_pylist()]
