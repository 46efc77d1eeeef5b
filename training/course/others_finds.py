"""The molecules of other agents in the diversity memory of an agent, which counts them at its checkpoints."""

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
    """An observer that counts the good molecules of other agents in the diversity memory, at checkpoints.

    The molecules that it finds depend on how far the other agents are. Therefore they are stored with the checkpoint,
    in ``bucketed_molecules``, from where a resumed run reads them. The observer reads nothing between checkpoints,
    since a resumed run would then find other molecules.

    Attributes:
        store: the store of all agents.
        memory: the diversity memory of this agent.
        objective_sha256: the objective whose rewards count.
        run_id: the run of this agent.
        first_agent: the run of the first agent, which is the parent of the runs of the other agents.
        name: the name of the observer in checkpoints.
    """

    store: SampleStore
    memory: DiversityMemory
    objective_sha256: str
    run_id: str
    first_agent: str
    name: str = "others"

    def after(self, step: StepTaken) -> Mapping[str, float | None]:
        """Count the new molecules at a checkpoint; return ``found_by_others``, their number."""
        if not step.checkpoint:
            return {}
        found = self.store.read_arrow(
            _OTHERS_FINDS,
            parameters=[self.objective_sha256, self.memory.settings.min_reward, self.first_agent, self.run_id],
        )
        counted = self.memory.count_others(step.iteration, found["smiles"].to_pylist(), found["reward"].to_numpy())
        return {"found_by_others": float(counted)}
