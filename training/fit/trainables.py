"""What a sampler of a campaign may learn beside the policy: the protocol, and all of them together in the fit loop.

A trainable learns from the rows of its own sampler only, drawn under its present parameters; earlier ones it may weigh
by how likely they have become (R18, R23). Like a policy it has versions: one that drew is known by its sha256, one that
was published or checkpointed is kept in the store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from molbuffer.storage import Place, PolicyFiles, SampleStore
from molbuffer.storage.records import Build, PolicyVersion
from molbuffer.training.batches.loader import BatchOrigin
from molbuffer.training.batches.replayed_latents import ReplayedLatents


class Trainable(Protocol):
    """Parameters of one sampler."""

    @property
    def name(self) -> str:
        """The name of the sampler that it belongs to."""
        ...

    def update(self, builds: Sequence[Build], replayed: ReplayedLatents | None = None) -> Mapping[str, float | None]:
        """Learns from what the sampler drew in an iteration, live and for the buffer; returns metrics by name.

        Args:
            replayed: what the batch has of the run's earlier draws, of this sampler and of others.
        """
        ...

    def version(self, run_id: str, iteration: int) -> PolicyVersion:
        """The present parameters as a row of the lineage, without weights."""
        ...

    def publish(self, policies: PolicyFiles, run_id: str, iteration: int) -> PolicyVersion:
        """Puts the present parameters into the store, from where any process can draw with them."""
        ...

    def checkpoint_files(self, prefix: str) -> Mapping[str, bytes]:
        """All that is needed to go on learning later, in files whose names begin with ``prefix``."""
        ...

    def restore(self, folder: Place, prefix: str) -> None:
        """Goes back to a checkpoint."""
        ...


@dataclass(frozen=True)
class Trainables:
    """All trainables of a campaign, in the order of their samplers."""

    members: Sequence[Trainable] = ()

    def update(self, origin: BatchOrigin, store: SampleStore) -> dict[str, float | None]:
        """Has each learn from the builds of its sampler; the metrics are named ``<metric>_<sampler>``.

        It comes before the policy's own step: that changes the decoder under which rows of this iteration were drawn.
        """
        names = {member.name for member in self.members}
        built = [store.build(receipt.build_id).build for receipt in origin.built if receipt.sampler in names]
        metrics: dict[str, float | None] = {}
        for member in self.members:
            builds = [build for build in (*built, *origin.live) if build.sampler == member.name]
            learnt = member.update(builds, origin.replayed)
            metrics |= {f"{metric}_{member.name}": value for metric, value in learnt.items()}
        return metrics

    def versions(self, run_id: str, iteration: int) -> list[PolicyVersion]:
        """The present parameters of each, as rows of the lineage."""
        return [member.version(run_id, iteration) for member in self.members]

    def publish(self, policies: PolicyFiles, run_id: str, iteration: int) -> dict[str, PolicyVersion]:
        """Puts the present parameters of each into the store; the versions by sampler."""
        return {member.name: member.publish(policies, run_id, iteration) for member in self.members}

    def checkpoint_files(self) -> dict[str, bytes]:
        """The files of all of them; they stand beside those of the learner."""
        files: dict[str, bytes] = {}
        for number, member in enumerate(self.members):
            files |= member.checkpoint_files(_prefix(number))
        return files

    def restore(self, folder: Place) -> None:
        """Goes back to a checkpoint."""
        for number, member in enumerate(self.members):
            member.restore(folder, _prefix(number))


def _prefix(number: int) -> str:
    # The place of a trainable, not its name: that may have characters which file names cannot have.
    return f"trainable-{number}-"
