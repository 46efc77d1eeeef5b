"""A prepared commit: its arrays are on the disk and its rows in columns, so that the commit lock is held briefly."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from molbuffer.storage.commits import tables
from molbuffer.storage.commits.tables import PlacedBuild
from molbuffer.storage.commits.turns import BuildKey, CommitRequest
from molbuffer.storage.files import CHECKSUMS_KEY
from molbuffer.storage.records import Commit
from molbuffer.storage.stored import BuildReceipt, CommitReceipt

MOST_ROWS_OFFERED = 50_000
"""The largest number of rows that a commit offers to another process; writing more rows twice would take longer."""
_AUTHOR = Commit.author


@dataclass(frozen=True, eq=False)
class PreparedCommit:
    """A commit that is ready to be inserted.

    Attributes:
        commit: the commit.
        placed: its builds in the order of rows, with the places of their arrays.
        columns: the rows of the builds, by table.
        written: the folders under the store's data that were written for the commit.
        folder: the folder of its checkpoint; None without a checkpoint.
    """

    commit: Commit
    placed: Sequence[PlacedBuild]
    columns: Mapping[str, pa.Table]
    written: Sequence[str]
    folder: str | None

    @property
    def keys(self) -> list[BuildKey]:
        """The keys by which its builds are looked up."""
        return [BuildKey(each.build.build_id, each.build.run_id, each.build.iteration) for each in self.placed]

    @property
    def takes_others(self) -> bool:
        """Whether other commits can share its transaction: only with the default author, since a snapshot has one."""
        return self.commit.author == _AUTHOR

    def request(self) -> CommitRequest | None:
        """Return the commit as a request to others; None if it is large or has more than builds and policies."""
        commit = self.commit
        more = (commit.scores, commit.consumed, commit.run_metrics, commit.bucketed, commit.checkpoint)
        posed = any(score.pose is not None for place in self.placed for score in place.build.scores)
        rows = sum(table.num_rows for table in self.columns.values())
        if any(more) or posed or not self.takes_others or not self.placed or rows > MOST_ROWS_OFFERED:
            return None
        said, extra = self.provenance([])
        return CommitRequest(
            builds=self.keys,
            tables=self.columns,
            written=self.written,
            message=said,
            extra=extra,
            policies=commit.policies,
        )

    def provenance(self, others: Sequence[CommitRequest]) -> tuple[str, dict[str, Any]]:
        """Return the message and the provenance of the snapshot of this commit and of other requests."""
        commit = self.commit
        said, extra = commit.message or _message(commit), _extra(commit)
        if commit.checkpoint and self.folder:
            extra[CHECKSUMS_KEY] = {
                f"{self.folder}/{name}": hashlib.sha256(content).hexdigest()
                for name, content in commit.checkpoint.files.items()
            }
        if others:
            extras = [extra, *(each.extra for each in others)]
            extra |= {name: sorted({each for of in extras for each in of[name]}) for name in ("runs", "iterations")}
            extra |= {"builds": [build_id for of in extras for build_id in of["builds"]]}
            extra |= {"samples": sum(of["samples"] for of in extras)}
            said = "; ".join(dict.fromkeys([said, *(each.message for each in others)]))
        return said, extra

    def receipt(self, there: Mapping[str, BuildReceipt], snapshot: int) -> CommitReceipt:
        """Return the receipt of the commit.

        Args:
            there: the receipts of builds that were stored before.
            snapshot: the snapshot of the commit.
        """
        made = {place.build.build_id: tables.receipt(place.build, snapshot) for place in self.placed}
        ids = [build.build_id for build in self.commit.builds]
        return CommitReceipt(snapshot, tuple(there.get(build_id) or made[build_id] for build_id in ids))


def runs_of(commit: Commit) -> list[str]:
    """Return the ids of the runs that a commit names."""
    named: Iterable[str | None] = (
        *(build.run_id for build in commit.builds),
        commit.run_id,
        commit.checkpoint.run_id if commit.checkpoint else None,
    )
    return sorted({run_id for run_id in named if run_id is not None})


def _message(commit: Commit) -> str:
    parts = {"builds": commit.builds, "scores": commit.scores, "policies": commit.policies, "consumed": commit.consumed}
    counts = [f"{len(part)} {name}" for name, part in parts.items() if part]
    return ", ".join([*counts, *(["checkpoint"] if commit.checkpoint else [])]) or "metrics of a training"


def _extra(commit: Commit) -> dict[str, Any]:
    """Return the provenance of a commit, which its snapshot records."""
    return {
        "runs": runs_of(commit),
        "iterations": sorted({build.iteration for build in commit.builds}),
        "builds": [build.build_id for build in commit.builds],
        "samples": sum(len(build.samples) for build in commit.builds),
    }
