"""Several agents on one store: a process each, with seeds of their own, and scores in common."""

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from molbuffer.flows.campaign.agents import AgentPlace, agent_run_id
from molbuffer.flows.cli import app
from molbuffer.flows.settings import OFFLINE, ConfigurationError, load_settings, parse_overrides
from molbuffer.flows.tasks.chunks import local_builder
from molbuffer.flows.work.online import run_online
from molbuffer.storage import Process, SampleStore

FIRST = "1" * 32
SECOND = agent_run_id(FIRST, 1)
BATCH = 8

SCORER = """
import pathlib, time

def paid(smiles):
    time.sleep(0.03)
    with (pathlib.Path(__file__).parent / "paid.txt").open("a") as file:
        file.write(smiles + chr(10))
    return min(1.0, len(smiles) / 40)
"""

# Cold draws, so that the agents often ask for the same molecule.
CONFIG = f"""
[campaign]
name = "several"
seed = 3
agents = 2
iterations = 5
batch_size = {BATCH}

[policy]
prior = "PRIOR"

[objective]
[[objective.components]]
kind = "python"
function = "costly:paid"
cost = "high"

[[samplers]]
kind = "model"
name = "live"
p_batch = 1.0
temperature = 0.15

[training]
checkpoint_every = 1
"""


@dataclass(frozen=True)
class Group:
    """The agents of a folder, and what their scorer was asked for."""

    folder: Path

    @classmethod
    def make(cls, folder: Path, prior: Path) -> "Group":
        (folder / "costly.py").write_text(SCORER)
        (folder / "several.toml").write_text(CONFIG.replace("PRIOR", str(prior)))
        return cls(folder)

    @property
    def config(self) -> Path:
        return self.folder / "several.toml"

    @property
    def lab(self) -> Path:
        return self.folder / "lab"

    def run(self, watch: Callable[[Any], None] = lambda _: None) -> dict[str, Any]:
        settings = load_settings(self.config).to_json()
        return run_online(settings, str(self.lab), local_builder, run_id=FIRST, watch=watch)

    def ask(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with SampleStore.open(self.lab, read_only=True) as store:
            return store.query(sql, parameters).rows()

    @property
    def paid(self) -> Counter[str]:
        return Counter((self.folder / "paid.txt").read_text().split())

    @property
    def repeats(self) -> int:
        return self.paid.total() - len(self.paid)

    def course(self, run_id: str) -> list[tuple[Any, ...]]:
        return self.ask(
            'SELECT iteration, "row", raw, smiles, reward FROM sample_history WHERE run_id = ? ORDER BY ALL', run_id
        )

    def events(self, run_id: str) -> list[str]:
        return [
            status for (status,) in self.ask("SELECT status FROM run_events WHERE run_id = ? ORDER BY created", run_id)
        ]

    def process(self, run_id: str) -> Process:
        """The process that has worked on a run most lately."""
        found = self.ask("SELECT detail FROM run_events WHERE run_id = ? ORDER BY created", run_id)
        return [process for (detail,) in found if (process := Process.parse(detail)) is not None][-1]

    def until(self, run_id: str, events: set[str], iteration: int) -> None:
        """Wait until an agent has been through events, and has a checkpoint of an iteration."""
        deadline = time.monotonic() + 600
        while not (
            self._checkpoints(run_id) and events <= set(self.events(run_id)) and self._done(run_id) >= iteration
        ):
            assert time.monotonic() < deadline, f"the agent is at {self.events(run_id)}, {self._done(run_id)}"
            time.sleep(0.25)  # each look opens the store, and takes the core from the agents

    def _checkpoints(self, run_id: str) -> bool:
        """Return whether there is a file of a checkpoint, which takes no look into the store."""
        return next(self.lab.glob(f"checkpoints/{run_id}/*"), None) is not None

    def _done(self, run_id: str) -> int:
        return int(self.ask("SELECT coalesce(max(iteration), 0) FROM checkpoints WHERE run_id = ?", run_id)[0][0])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, small_prior: Path) -> Group:
    """Two agents that nothing has stopped."""
    group = Group.make(tmp_path_factory.mktemp("undisturbed"), small_prior)
    assert group.run()["agents"] == [FIRST, SECOND]
    return group


def test_agents_draw_otherwise_and_pay_for_each_molecule_once(undisturbed: Group) -> None:
    runs = undisturbed.ask("SELECT run_id, name, seed, parent_run_id FROM runs ORDER BY parent_run_id NULLS FIRST")
    assert runs == [(FIRST, "several", 3, None), (SECOND, "several", AgentPlace(FIRST, 1).seed(3), FIRST)]
    assert undisturbed.events(FIRST)[-1] == undisturbed.events(SECOND)[-1] == "finished"
    asked = [{smiles for _, _, _, smiles, _ in undisturbed.course(run) if smiles} for run in (FIRST, SECOND)]
    assert asked[0] - asked[1] and asked[1] - asked[0]
    assert len(asked[0] & asked[1]) >= 3, "nothing was shared"
    assert undisturbed.paid == Counter(asked[0] | asked[1])


def test_agents_that_are_killed_and_interrupted_take_the_course_of_those_that_nothing_has_stopped(
    undisturbed: Group, tmp_path: Path, small_prior: Path
) -> None:
    group = Group.make(tmp_path, small_prior)

    def disturb(progress: Any) -> None:
        if progress.iteration == 1:
            group.until(SECOND, {"started"}, 1)
            os.kill(group.process(SECOND).pid, signal.SIGKILL)
        if progress.iteration == 3:
            group.until(SECOND, {"resumed"}, 2)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        group.run(disturb)
    # No more than the batch that the kill has hit.
    assert (lost := group.repeats) <= BATCH
    assert group.process(SECOND).gone and group.events(SECOND)[-1] in ("interrupted", "finished")
    assert group.run()["agents"] == [FIRST, SECOND]
    for run in (FIRST, SECOND):
        assert group.events(run)[-1] == "finished"
        assert group.course(run) == undisturbed.course(run)
    assert group.paid.keys() == undisturbed.paid.keys()
    assert group.repeats - lost <= BATCH


def test_an_agent_is_resumed_with_its_group_alone(undisturbed: Group) -> None:
    words = ["run", str(undisturbed.config), "--store", str(undisturbed.lab), "--resume", SECOND, "--no-prefect"]
    told = CliRunner().invoke(app, words)
    assert told.exit_code and f"is an agent of run {FIRST}" in f"{told.output}{told.exception}"


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("campaign.agents", 0, "campaign.agents"),
        ("campaign.offline", True, "an offline training has one agent"),
        ("training.mode", "async", "actors draw for a single learner"),
    ],
)
def test_what_cannot_have_agents_is_refused(
    tmp_path: Path, small_prior: Path, key: str, value: Any, words: str
) -> None:
    config = Group.make(tmp_path, small_prior).config
    with pytest.raises(ConfigurationError, match=words):
        load_settings(config, parse_overrides([f"{key}={json.dumps(value)}"]))


def test_an_offline_training_of_the_file_is_one(tmp_path: Path, small_prior: Path) -> None:
    assert load_settings(Group.make(tmp_path, small_prior).config, OFFLINE).campaign.agents == 1
