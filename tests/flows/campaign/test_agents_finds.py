"""The diversity memory of an agent counts what the others have found, at its checkpoints, and has it when resumed."""

import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from molbuffer.flows.campaign.agents import AgentPlace
from molbuffer.flows.settings.settings import Settings
from molbuffer.flows.tasks.chunks import local_builder
from molbuffer.flows.work.online import run_online
from molbuffer.storage import SampleStore

FIRST, SECOND = AgentPlace("1" * 32), AgentPlace("1" * 32, 1)
ALONE = "2" * 32
LEAST = 0.5

CONFIG = """
[campaign]
name = "several"
seed = 3
iterations = 6
batch_size = 16

[policy]
prior = "PRIOR"

[objective]
[[objective.components]]
kind = "qed"

[diversity]
buckets = "scaffold"
min_reward = 0.5
size = 2

[[samplers]]
kind = "model"
name = "live"
p_batch = 1.0

[training]
checkpoint_every = 2
"""


@dataclass(frozen=True)
class Lab:
    """A store, and agents that train in it in this process."""

    store: Path
    config: str

    def train(self, agent: AgentPlace | None, until: int = 6, run_id: str | None = None) -> None:
        """Train an agent, and interrupt it after an iteration that is not the last."""

        def watch(progress: Any) -> None:
            if progress.iteration == until < 6:
                raise KeyboardInterrupt

        run = run_id or (agent.run_id if agent else None)
        try:
            run_online(self.config, str(self.store), local_builder, run_id=run, watch=watch, agent=agent)
        except KeyboardInterrupt:
            assert until < 6

    def ask(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with SampleStore.open(self.store, read_only=True) as store:
            return store.query(sql, parameters).rows()

    def good(self, run_id: str) -> set[str]:
        sql = "SELECT DISTINCT smiles FROM sample_history WHERE run_id = ? AND kept AND reward >= ?"
        return {smiles for (smiles,) in self.ask(sql, run_id, LEAST)}

    def counted(self, run_id: str) -> list[tuple[int, str]]:
        return self.ask("SELECT iteration, smiles FROM bucketed_molecules WHERE run_id = ? ORDER BY ALL", run_id)

    def told(self, run_id: str) -> dict[int, float]:
        sql = "SELECT iteration, value FROM metrics WHERE run_id = ? AND name = 'found_by_others'"
        return dict(self.ask(sql, run_id))

    def penalised(self, run_id: str) -> list[float]:
        sql = "SELECT value FROM metrics WHERE run_id = ? AND name = 'penalised' ORDER BY iteration"
        return [value for (value,) in self.ask(sql, run_id)]

    def course(self, run_id: str) -> list[tuple[Any, ...]]:
        return self.ask(
            'SELECT iteration, "row", raw, reward FROM sample_history WHERE run_id = ? ORDER BY ALL', run_id
        )


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory, small_prior: Path) -> Lab:
    """A first agent that is interrupted after two iterations, and a second one that is done."""
    settings = Settings.model_validate(tomllib.loads(CONFIG.replace("PRIOR", str(small_prior))))
    lab = Lab(tmp_path_factory.mktemp("begun") / "lab", settings.to_json())
    lab.train(None, run_id=ALONE)
    lab.train(FIRST, until=2)
    lab.train(SECOND)
    return lab


@pytest.fixture(scope="module")
def straight(begun: Lab, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A copy of it, in which the first agent has gone on to its end."""
    lab = Lab(Path(shutil.copytree(begun.store, tmp_path_factory.mktemp("straight") / "lab")), begun.config)
    lab.train(FIRST)
    return lab


def test_an_agent_counts_what_the_others_of_its_group_have_found_and_once(begun: Lab, straight: Lab) -> None:
    assert begun.told(FIRST.run_id) == {1: 0.0}
    lab = straight
    counted = lab.counted(FIRST.run_id)
    assert len(counted) == len({smiles for _, smiles in counted})
    # The agent has all at its next checkpoint, and nothing of a run by itself, which the agents might have been.
    new = lab.good(SECOND.run_id) - lab.good(FIRST.run_id)
    assert new and new <= {smiles for iteration, smiles in counted if iteration == 3}
    assert {smiles for _, smiles in counted} == lab.good(SECOND.run_id) | lab.good(FIRST.run_id)
    found = lab.told(FIRST.run_id)
    assert found.keys() == {1, 3, 5} and found[3] >= len(new) and found[5] == 0
    # The first agent has the course of a run by itself up to then, and learns from other rewards after it.
    assert lab.told(ALONE) == {} and {smiles for _, smiles in lab.counted(ALONE)} == lab.good(ALONE)
    (*same, _, last), (*same_alone, _, last_alone) = lab.penalised(FIRST.run_id), lab.penalised(ALONE)
    assert same == same_alone and last > last_alone


def test_r16_a_resumed_agent_has_counted_what_one_has_that_nothing_has_stopped(
    begun: Lab, straight: Lab, tmp_path: Path
) -> None:
    stopped = Lab(Path(shutil.copytree(begun.store, tmp_path / "stopped")), begun.config)
    stopped.train(FIRST, until=5)
    stopped.train(FIRST)
    assert stopped.counted(FIRST.run_id) == straight.counted(FIRST.run_id)
    assert stopped.told(FIRST.run_id) == straight.told(FIRST.run_id)
    assert stopped.course(FIRST.run_id) == straight.course(FIRST.run_id)
