"""A commit whose arrays are on the disk and whose rows are in columns, so that little is left to do under the lock."""

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
"""The rows of all tables beyond which a commit waits for its own turn: writing them twice would cost more."""
_AUTHOR = Commit.author


@dataclass(frozen=True, eq=False)
class PreparedCommit:
    """A commit that is ready to be inserted.

    Attributes:
        commit: the commit.
        placed: its builds in the order of rows, and where their arrays are.
        columns: the rows of the builds, by table.
        written: the folders under the store's data that were written for it.
        folder: that of its checkpoint; None without one.
    """

    commit: Commit
    placed: Sequence[PlacedBuild]
    columns: Mapping[str, pa.Table]
    written: Sequence[str]
    folder: str | None

    @property
    def keys(self) -> list[BuildKey]:
        """What its builds are looked up by."""
        return [BuildKey(each.build.build_id, each.build.run_id, each.build.iteration) for each in self.placed]

    @property
    def takes_others(self) -> bool:
        """Whether others' commits can be made with it: the snapshot then has its author."""
        return self.commit.author == _AUTHOR

    def request(self) -> CommitRequest | None:
        """Return it for another process to carry out; None when it needs more than builds and policies inserted."""
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
        """Return the message and the provenance of the snapshot that it and others make."""
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
        """Return the receipt of the commit that a snapshot first had, but for builds that were there before."""
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
    """Return the provenance that the snapshot carries."""
    return {
        "runs": runs_of(commit),
        "iterations": sorted({build.iteration for build in commit.builds}),
        "builds": [build.build_id for build in commit.builds],
        "samples": sum(len(build.samples) for build in commit.builds),
    }
