"""The diversity memory of one of several agents counts what the others have found, at its own checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from molbuffer.storage import SampleStore
from molbuffer.training.course.course import Observer, StepTaken
from molbuffer.training.diversity import DiversityMemory

_OTHERS_FINDS = """SELECT smiles, max(reward) AS reward FROM {sample_history}
    WHERE objective_sha256 = ? AND kept AND reward >= ? AND run_id IN (
        SELECT run_id FROM {runs} WHERE ? IN (run_id, parent_run_id) AND kind = 'train' AND run_id <> ?)
    GROUP BY smiles ORDER BY reward DESC, smiles"""


@dataclass
class OthersFinds(Observer):
    """Has a diversity memory count the good molecules of the other agents, at the checkpoints of this one.

    What it reads depends on how far the others are. So it is part of the checkpoint, in ``bucketed_molecules``, and a
    resumed run has it from there; nothing is read between checkpoints, since that would be read otherwise again.

    Attributes:
        store: the store of all agents.
        memory: the memory.
        objective_sha256: the objective whose rewards count.
        run_id: the run of this agent.
        first_agent: the run of the first agent, which the runs of the others name as their parent.
    """

    store: SampleStore
    memory: DiversityMemory
    objective_sha256: str
    run_id: str
    first_agent: str
    name: str = "others"

    def after(self, step: StepTaken) -> Mapping[str, float | None]:
        """Count what is new at a checkpoint; return ``found_by_others``, the number of molecules."""
        if not step.checkpoint:
            return {}
        found = self.store.read_arrow(
            _OTHERS_FINDS,
            parameters=[self.objective_sha256, self.memory.settings.min_reward, self.first_agent, self.run_id],
        )
        counted = self.memory.count_others(step.iteration, found["smiles"].to_pylist(), found["reward"].to_numpy())
        return {"found_by_others": float(counted)}
