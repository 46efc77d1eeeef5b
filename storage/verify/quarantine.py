"""Quarantine of damaged segments: training leaves their rows out, so that the rest of the history stays usable.

A row of the table ``quarantine`` names a segment. Nothing is deleted: queries still have the rows, scores and rewards,
and the segment's files are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from molbuffer.storage.catalog import Catalog, Transaction
from molbuffer.storage.errors import ArraysError
from molbuffer.storage.records import now

_AFFECTED = """
    SELECT builds.build_id, builds.drawn, builds.kept
    FROM {placed_builds} AS builds JOIN fresh ON fresh.segment = builds.segment
    ORDER BY builds.run_id, builds.iteration, builds.event, builds.sampler_order, builds.chunk"""
_KNOWN = """
    SELECT segment FROM {builds} SEMI JOIN given USING (segment)
    UNION SELECT segment FROM {placements} SEMI JOIN given USING (segment)"""


@dataclass(frozen=True)
class QuarantinedBuild:
    """A build that training leaves out from now on.

    Attributes:
        build_id: the identity of the build.
        drawn: the number of its rows.
        kept: the number of rows that passed every filter.
    """

    build_id: str
    drawn: int
    kept: int


@dataclass(frozen=True)
class QuarantineReceipt:
    """The result of a quarantine.

    Attributes:
        snapshot: the first snapshot with the quarantine.
        segments: the segments that were not in quarantine before.
        builds: the builds whose arrays are in these segments, in the order of the history.
    """

    snapshot: int
    segments: tuple[str, ...]
    builds: tuple[QuarantinedBuild, ...]

    @property
    def rows(self) -> int:
        """The number of kept rows that training leaves out."""
        return sum(build.kept for build in self.builds)


def quarantine(catalog: Catalog, reasons: Mapping[str, str]) -> QuarantineReceipt:
    """Put segments in quarantine.

    Args:
        catalog: the catalog of the store.
        reasons: the reason for each segment, by the name of the segment.

    Raises:
        ArraysError: no build has arrays in one of the named segments.
        StoreModeError: the store was opened for reading.
    """
    given = pa.table({"segment": list(reasons), "reason": list(reasons.values())})

    def insert(transaction: Transaction) -> tuple[pa.Table, pa.Table]:
        known = set(transaction.read(_KNOWN, given=given)["segment"].to_pylist())
        if unknown := sorted(reasons.keys() - known):
            raise ArraysError(
                f"no build of the store has arrays in {', '.join(unknown)}; name segments that verify names"
            )
        fresh = transaction.read("SELECT * FROM given ANTI JOIN {quarantine} AS there USING (segment)", given=given)
        created = pa.repeat(pa.scalar(now(), pa.timestamp("us")), fresh.num_rows)
        transaction.insert("quarantine", fresh.append_column("created", created))
        return fresh, transaction.read(_AFFECTED, fresh=fresh)

    message = f"quarantine of {len(reasons)} segments"
    (fresh, builds), snapshot = catalog.transact("molbuffer", message, {"segments": sorted(reasons)}, insert)
    affected = tuple(QuarantinedBuild(**row) for row in builds.to_pylist())
    return QuarantineReceipt(snapshot, tuple(sorted(fresh["segment"].to_pylist())), affected)
