"""Quarantine damaged segments: training leaves their rows out, so that the rest of the history stays usable.

A row of the table ``quarantine`` names a segment. Nothing is deleted: rows, scores and rewards stay in every query, and
the segment's files stay where they are.
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
        build_id: its identity.
        drawn: how many rows it has.
        kept: how many of these passed every filter.
    """

    build_id: str
    drawn: int
    kept: int


@dataclass(frozen=True)
class QuarantineReceipt:
    """What was put in quarantine.

    Attributes:
        snapshot: the first snapshot in which it is.
        segments: the segments that were not in quarantine before.
        builds: the builds whose arrays lie in them, in the order of the history.
    """

    snapshot: int
    segments: tuple[str, ...]
    builds: tuple[QuarantinedBuild, ...]

    @property
    def rows(self) -> int:
        """How many rows training would have read otherwise, if all kept ones have a reward."""
        return sum(build.kept for build in self.builds)


def quarantine(catalog: Catalog, reasons: Mapping[str, str]) -> QuarantineReceipt:
    """Put segments in quarantine, each with the reason for it.

    Raises:
        ArraysError: no build has arrays in a segment that is named.
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
