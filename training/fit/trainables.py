"""Trainable parameters of samplers beside the policy, such as latent priors: their protocol, and their training.

A trainable learns only from rows of its own sampler that were drawn under its present parameters; it may also learn
from earlier rows, weighted by the ratio of their likelihoods (R18, R23). Like a policy, it has versions: a version that
drew rows is known by its sha256, and a version that was published or checkpointed is kept in the store.
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
            replayed: the rows of the batch that this and other samplers of the run drew earlier; None if there are
                none.
        """
        ...

    def version(self, run_id: str, iteration: int) -> PolicyVersion:
        """Return the present parameters as a row of the lineage, without weights."""
        ...

    def publish(self, policies: PolicyStore, run_id: str, iteration: int) -> PolicyVersion:
        """Store the present parameters, so that any process can draw with them; return their row of the lineage."""
        ...

    def checkpoint_files(self, prefix: str) -> Mapping[str, bytes]:
        """Return the files from which learning can be resumed; their names begin with ``prefix``."""
        ...

    def restore(self, folder: Place, prefix: str) -> None:
        """Restore the parameters from the files of a checkpoint whose names begin with ``prefix``."""
        ...


@dataclass(frozen=True)
class Trainables:
    """All trainables of a campaign.

    Attributes:
        members: the trainables, in the order of their samplers.
    """

    members: Sequence[Trainable] = ()

    def update(
        self, origin: BatchOrigin, store: SampleStore, diversity: DiversityMemory | None = None
    ) -> dict[str, float | None]:
        """Train each member on the builds of its sampler; return metrics named ``<metric>_<sampler>``.

        Call this before the step of the policy, which changes the decoder that drew the rows of the iteration.

        Args:
            origin: the builds of the iteration, and its replayed rows.
            store: the store, from which builds of the buffer are read.
            diversity: the diversity memory, whose bonuses and penalties apply to the rewards; None leaves rewards as
                they are.
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
        """Return the present parameters of all members as rows of the lineage."""
        return [member.version(run_id, iteration) for member in self.members]

    def publish(self, policies: PolicyStore, run_id: str, iteration: int) -> dict[str, PolicyVersion]:
        """Store the present parameters of all members; return their rows of the lineage by sampler."""
        return {member.name: member.publish(policies, run_id, iteration) for member in self.members}

    def checkpoint_files(self) -> dict[str, bytes]:
        """Return the checkpoint files of all members, to be saved with those of the learner."""
        files: dict[str, bytes] = {}
        for number, member in enumerate(self.members):
            files |= member.checkpoint_files(_prefix(number))
        return files

    def restore(self, folder: Place) -> None:
        """Restore all members from a checkpoint."""
        for number, member in enumerate(self.members):
            member.restore(folder, _prefix(number))


def _learned(build: Build, diversity: DiversityMemory) -> Build:
    """Return a build whose rewards have the bonuses and penalties of the diversity memory."""
    known = [each for each in build.rewards if each.status is ScoreStatus.OK and each.value is not None]
    smiles = [build.samples.smiles[each.row] for each in known]
    learned = diversity.learned(smiles, np.array([each.value for each in known], np.float64)).tolist()
    return replace(build, rewards=[replace(each, value=value) for each, value in zip(known, learned, strict=True)])


def _prefix(number: int) -> str:
    # The position of a trainable, not its name, which may have characters that file names cannot have.
    return f"trainable-{number}-"
