"""What comes out of the store: receipts of commits, and builds and checkpoints that are read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from molbuffer.storage.files.places import Place
from molbuffer.storage.records import Build, Event, Reward, Samples


@dataclass(frozen=True)
class BuildReceipt:
    """What is durable of a build; small enough to be a task's result.

    Attributes:
        drawn, parseable, kept: numbers of rows of its own. readmitted: of stored rows that it gives once more.
        mean_reward: over rows whose reward is ok, None when there is none.
        snapshot: the store's version that first had the build.
        repeated: whether an earlier attempt had committed it, so that this attempt's rows were dropped.
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
        """The receipt as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> BuildReceipt:
        """What ``to_json`` gave."""
        return cls(**{**values, "event": Event(values["event"])})


@dataclass(frozen=True)
class CommitReceipt:
    """Acknowledges a commit: everything it named is durable."""

    snapshot: int
    builds: tuple[BuildReceipt, ...] = ()


@dataclass(frozen=True)
class StoredBuild:
    """A committed build, read back.

    Attributes:
        build: as it was committed, with the rewards and metrics it has now; ``scores`` is empty, since scores belong to
            molecules.
        segment: the name of the segment that holds its arrays; offset: its first row there.
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
class StoredCheckpoint:
    """A committed checkpoint.

    Attributes:
        folder: holds its files by name, as they were committed.
        snapshot: what the run's loader was pinned to.
    """

    run_id: str
    iteration: int
    folder: Place
    snapshot: int | None
