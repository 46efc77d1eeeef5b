"""The records that the store returns: receipts of commits, and builds and checkpoints that are read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from molbuffer.storage.files import Place
from molbuffer.storage.records import Build, Event, Reward, Samples


@dataclass(frozen=True)
class BuildReceipt:
    """A summary of a durable build, small enough to be a task's result.

    Attributes:
        drawn: the number of rows that were drawn.
        parseable: the number of rows that are molecules.
        kept: the number of rows that passed every filter.
        mean_reward: the mean of the rewards that are ok; None if there are none.
        snapshot: the first snapshot that has the build.
        repeated: whether an earlier attempt had committed the build, so that the rows of this attempt were dropped.
        readmitted: the number of stored rows that the build delivers again.
    """

    build_id: str
    run_id: str
    iteration: int
    event: Event
    sampler: str
    drawn: int
    parseable: int
    kept: int
    mean_reward: float | None
    snapshot: int
    repeated: bool = False
    readmitted: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the receipt as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> BuildReceipt:
        """Return the receipt from the JSON values that ``to_json`` returned."""
        return cls(**{**values, "event": Event(values["event"])})


@dataclass(frozen=True)
class CommitReceipt:
    """The acknowledgement of a commit: everything that the commit has is durable."""

    snapshot: int
    builds: tuple[BuildReceipt, ...] = ()


@dataclass(frozen=True)
class StoredBuild:
    """A committed build, read back.

    Attributes:
        build: the build as it was committed, with its present rewards and metrics; ``scores`` is empty, since scores
            belong to molecules.
        segment: the name of the segment with its arrays.
        offset: its first row in the segment.
    """

    build: Build
    receipt: BuildReceipt
    segment: str
    offset: int

    @property
    def samples(self) -> Samples:
        """The rows, in the order in which they were drawn."""
        return self.build.samples

    @property
    def rewards(self) -> Sequence[Reward]:
        """The rewards under the build's own objective, in row order; rows without a settled reward are left out."""
        return self.build.rewards


@dataclass(frozen=True)
class ListedCheckpoint:
    """A checkpoint that was committed, whether or not its files still exist.

    Attributes:
        run_id: the run.
        iteration: the iteration after which the checkpoint was made, counted from 1.
        created: the time of the commit, in UTC.
        kept: whether its files are in the store; the older checkpoints of an active run are removed.
    """

    run_id: str
    iteration: int
    created: datetime
    kept: bool


@dataclass(frozen=True)
class StoredCheckpoint:
    """A committed checkpoint.

    Attributes:
        folder: the folder with its files, by the names under which they were committed.
        snapshot: the snapshot that the run's loader was pinned to.
    """

    run_id: str
    iteration: int
    folder: Place
    snapshot: int | None
