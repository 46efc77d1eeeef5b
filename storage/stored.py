"""The records that come out of the store: receipts of commits, and builds and checkpoints that are read back."""

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
        drawn: how many rows it drew.
        parseable: how many of these are molecules.
        kept: how many of these passed every filter.
        mean_reward: the mean over rows whose reward is ok; None when there is none.
        snapshot: the first snapshot that had the build.
        repeated: whether an earlier attempt had committed it, so that this attempt's rows were dropped.
        readmitted: how many stored rows it gives once more.
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
        """Return the receipt that ``to_json`` was asked for."""
        return cls(**{**values, "event": Event(values["event"])})


@dataclass(frozen=True)
class CommitReceipt:
    """The acknowledgement of a commit: everything that it named is durable."""

    snapshot: int
    builds: tuple[BuildReceipt, ...] = ()


@dataclass(frozen=True)
class StoredBuild:
    """A committed build, read back.

    Attributes:
        build: as it was committed, with the rewards and metrics it has now; ``scores`` is empty, since scores belong to
            molecules.
        segment: the name of the segment that holds its arrays.
        offset: its first row there.
    """

    build: Build
    receipt: BuildReceipt
    segment: str
    offset: int

    @property
    def samples(self) -> Samples:
        """The rows, in the order they were drawn."""
        return self.build.samples

    @property
    def rewards(self) -> Sequence[Reward]:
        """The settled reward of each row under the build's own objective, in row order; rows without are left out."""
        return self.build.rewards


@dataclass(frozen=True)
class ListedCheckpoint:
    """A checkpoint that was committed, whether or not it is there still.

    Attributes:
        run_id: the run.
        iteration: the iteration after which it was made, counted from 1.
        created: when, in UTC.
        kept: whether its files are in the store; while a run goes on, its older ones are removed.
    """

    run_id: str
    iteration: int
    created: datetime
    kept: bool


@dataclass(frozen=True)
class StoredCheckpoint:
    """A committed checkpoint.

    Attributes:
        folder: holds its files by name, as they were committed.
        snapshot: the snapshot that the run's loader was pinned to.
    """

    run_id: str
    iteration: int
    folder: Place
    snapshot: int | None
