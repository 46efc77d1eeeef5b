"""Trainable parameters of samplers beside the policy: the protocol, and all of a campaign together in the fit loop.

A trainable learns from the rows of its own sampler only, drawn under its present parameters; earlier rows it may
weigh by the ratio of their likelihoods (R18, R23). Like a policy it has versions: one that drew is known by its
sha256, one that was published or checkpointed is kept in the store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from molbuffer.storage import Build, Place, PolicyStore, PolicyVersion, SampleStore, ScoreStatus
from molbuffer.training.batches import BatchOrigin, ReplayedLatents
from molbuffer.training.diversity import DiversityMemory


class Trainable(Protocol):
    """Trainable parameters of one sampler."""

    @property
    def name(self) -> str:
        """The name of the sampler."""
        ...

    def update(self, builds: Sequence[Build], replayed: ReplayedLatents | None = None) -> Mapping[str, float | None]:
        """Learn from the rows that the sampler drew in an iteration, live and for the buffer; return metrics by name.

        Args:
            builds: the builds of the sampler in the iteration.
            replayed: the rows of the batch that the run drew earlier, with this sampler and with others.
        """
        ...

    def version(self, run_id: str, iteration: int) -> PolicyVersion:
        """Return the present parameters as a row of the lineage, without weights."""
        ...

    def publish(self, policies: PolicyStore, run_id: str, iteration: int) -> PolicyVersion:
        """Keep the present parameters in the store, so that any process can draw with them."""
        ...

    def checkpoint_files(self, prefix: str) -> Mapping[str, bytes]:
        """Return the files from which learning can be resumed; their names begin with ``prefix``."""
        ...

    def restore(self, folder: Place, prefix: str) -> None:
        """Go back to a checkpoint."""
        ...


@dataclass(frozen=True)
class Trainables:
    """All trainables of a campaign, in the order of their samplers."""

    members: Sequence[Trainable] = ()

    def update(
        self, origin: BatchOrigin, store: SampleStore, diversity: DiversityMemory | None = None
    ) -> dict[str, float | None]:
        """Let each learn from the builds of its sampler; return metrics named ``<metric>_<sampler>``.

        With a diversity memory, the rewards of the builds are what that leaves of them.

        Call it before the policy's own step, which changes the decoder that the rows of this iteration were drawn
        with.
        """
        if not self.members:
            return {}
        names = {member.name for member in self.members}
        built = [store.build(receipt.build_id).build for receipt in origin.built if receipt.sampler in names]
        metrics: dict[str, float | None] = {}
        for member in self.members:
            builds = [build for build in (*built, *origin.live) if build.sampler == member.name]
            if diversity is not None:
                builds = [_learned(build, diversity) for build in builds]
            learnt = member.update(builds, origin.replayed)
            metrics |= {f"{metric}_{member.name}": value for metric, value in learnt.items()}
        return metrics

    def versions(self, run_id: str, iteration: int) -> list[PolicyVersion]:
        """Return the present parameters of each, as rows of the lineage."""
        return [member.version(run_id, iteration) for member in self.members]

    def publish(self, policies: PolicyStore, run_id: str, iteration: int) -> dict[str, PolicyVersion]:
        """Keep the present parameters of each in the store; return the versions by sampler."""
        return {member.name: member.publish(policies, run_id, iteration) for member in self.members}

    def checkpoint_files(self) -> dict[str, bytes]:
        """Return the checkpoint files of all members, to be saved beside those of the learner."""
        files: dict[str, bytes] = {}
        for number, member in enumerate(self.members):
            files |= member.checkpoint_files(_prefix(number))
        return files

    def restore(self, folder: Place) -> None:
        """Go back to a checkpoint."""
        for number, member in enumerate(self.members):
            member.restore(folder, _prefix(number))


def _learned(build: Build, diversity: DiversityMemory) -> Build:
    """Return a build with the rewards that are learned from in the place of the stored ones."""
    known = [each for each in build.rewards if each.status is ScoreStatus.OK and each.value is not None]
    smiles = [build.samples.smiles[each.row] for each in known]
    learned = diversity.learned(smiles, np.array([each.value for each in known], np.float64)).tolist()
    return replace(build, rewards=[replace(each, value=value) for each, value in zip(known, learned, strict=True)])


def _prefix(number: int) -> str:
    # The position of a trainable, not its name, which may have characters that file names cannot have.
    return f"trainable-{number}-"
