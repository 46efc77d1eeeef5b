"""The batches of one iteration of a training: the rows of its updates, and the origin of these rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from molbuffer.storage import BucketedMolecule, Build, BuildReceipt, Consumed
from molbuffer.training.batches.batch import TrainingBatch
from molbuffer.training.batches.replayed_latents import ReplayedLatents


@dataclass(frozen=True)
class BatchOrigin:
    """The origin of the rows of an iteration.

    Attributes:
        built: receipts of the builds made for the buffer in this iteration.
        live: the builds drawn for this batch.
        consumed: the stored rows that the updates use up.
        shortfall: the number of rows that live samplers were short of.
        lags: the policy lag of each own row that the updates take from the buffer, in iterations.
        replayed: the stored rows of the batch that the run drew from latent priors; None if there are none.
        bucketed: the molecules of the iteration that the diversity memory has counted.
        seconds_waiting: the time for selecting and reading stored rows, reading indexes, and waiting for actors.
        arrived: the ids of the builds of actors that are new to the training in this iteration.
        followed: metrics of the rows of actors, by name; empty without actors.
    """

    built: Sequence[BuildReceipt] = ()
    live: Sequence[Build] = ()
    consumed: Sequence[Consumed] = ()
    shortfall: int = 0
    lags: Sequence[int] = ()
    replayed: ReplayedLatents | None = None
    bucketed: Sequence[BucketedMolecule] = ()
    seconds_waiting: float = 0.0
    arrived: Sequence[str] = ()
    followed: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class MixedBatch:
    """A training batch and the origin of its rows.

    Attributes:
        batch: the rows of the first update.
        origin: the origin of the rows.
        later: the rows of each later update.
    """

    batch: TrainingBatch
    origin: BatchOrigin
    later: Sequence[TrainingBatch] = ()

    @property
    def updates(self) -> Sequence[TrainingBatch]:
        """The rows of each update, in order."""
        return (self.batch, *self.later)
