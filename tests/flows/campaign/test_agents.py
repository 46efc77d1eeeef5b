"""Several agents on one store: a process each, with seeds of their own, scores and a diversity memory in common."""

import json
import os
import signal
import time
from collections.abc import Callable
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

SCORER = """
import pathlib, time

def paid(smiles):
    time.sleep(0.03)
    with (pathlib.Path(__file__).parent / "paid.txt").open("a") as file:
        file.write(smiles + chr(10))
    return min(1.0, len(smiles) / 40)
"""

CONFIG = """
[campaign]
name = "several"
seed = 3
agents = 2
iterations = 6
batch_size = 8

[policy]
prior = "{prior}"

[objective]
[[objective.components]]
kind = "python"
function = "costly:paid"
cost = "high"

[diversity]
buckets = "scaffold"
min_reward = 0.1
size = 2

[[samplers]]
kind = "model"
name = "live"
p_batch = 1.0

[training]
checkpoint_every = 1
"""


@pytest.fixture
def config(tmp_path: Path, small_prior: Path) -> Path:
    (tmp_path / "costly.py").write_text(SCORER)
    (tmp_path / "several.toml").write_text(CONFIG.format(prior=small_prior))
    return tmp_path / "several.toml"


def once_the_second_has_a_checkpoint(lab: Path, do: Callable[[int], None]) -> Callable[[object], None]:
    """Return a watcher that waits for the second agent, and does something to its process, once."""
    done: list[int] = []

    def watch(_progress: object) -> None:
        deadline = time.monotonic() + 120
        while not done and time.monotonic() < deadline:
            with SampleStore.open(lab, read_only=True) as store:
                found = store.query("SELECT detail FROM run_events WHERE run_id = ?", [SECOND])["detail"].to_list()
                there = store.query("SELECT count(*) FROM checkpoints WHERE run_id = ?", [SECOND]).item()
            if found and there and (process := Process.parse(found[0])) is not None:
                done.append(process.pid)
                do(process.pid)
            time.sleep(0.05)
        assert done, "the second agent never came to a checkpoint"

    return watch


def test_agents_share_scores_and_finds_and_a_killed_one_goes_on(config: Path, tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    kill = once_the_second_has_a_checkpoint(lab, lambda pid: os.kill(pid, signal.SIGKILL))
    result = run_online(load_settings(config).to_json(), str(lab), local_builder, run_id=FIRST, watch=kill)
    assert result["agents"] == [FIRST, SECOND]
    with SampleStore.open(lab, read_only=True) as store:
        runs = store.query(
            "SELECT run_id, name, seed, parent_run_id FROM runs ORDER BY parent_run_id NULLS FIRST"
        ).rows()
        assert runs == [(FIRST, "several", 3, None), (SECOND, "several", AgentPlace(FIRST, 1).seed(3), FIRST)]
        events = store.query("SELECT run_id, status FROM run_events ORDER BY created").rows()
        assert {run for run, status in events if status == "finished"} == {FIRST, SECOND}
        assert (SECOND, "resumed") in events
        sql = "SELECT smiles FROM sample_history WHERE run_id = ? AND kept"
        drawn = [set(store.query(sql, [run])["smiles"].to_list()) for run in (FIRST, SECOND)]
        counted = store.query("SELECT smiles FROM bucketed_molecules WHERE run_id = ?", [FIRST])["smiles"].to_list()
        told = store.query("SELECT sum(value) FROM metrics WHERE run_id = ? AND name = 'found_by_others'", [FIRST])
    assert drawn[0] != drawn[1]
    found_by_others = set(counted) - drawn[0]
    assert found_by_others and found_by_others <= drawn[1] and told.item() >= len(found_by_others)
    paid = (tmp_path / "paid.txt").read_text().split()
    # Only the molecules of the call that the kill may have hit are paid for again.
    assert len(paid) - len(set(paid)) <= 8 and drawn[0] | drawn[1] <= set(paid)


def test_agents_end_with_the_command_and_are_resumed_with_it(config: Path, tmp_path: Path) -> None:
    lab = tmp_path / "lab"

    def end(_pid: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        watch = once_the_second_has_a_checkpoint(lab, end)
        run_online(load_settings(config).to_json(), str(lab), local_builder, run_id=FIRST, watch=watch)
    with SampleStore.open(lab, read_only=True) as store:
        events = store.query("SELECT status, detail FROM run_events WHERE run_id = ? ORDER BY created", [SECOND]).rows()
    process = Process.parse(events[0][1])
    assert process is not None and process.gone
    assert events[-1][0] in ("interrupted", "finished")
    told = CliRunner().invoke(
        app, ["run", str(config), "--store", str(lab), "--resume", SECOND, "--direct"], catch_exceptions=True
    )
    assert told.exit_code and f"is an agent of run {FIRST}" in f"{told.output}{told.exception}"


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("campaign.agents", 0, "campaign.agents"),
        ("campaign.offline", True, "nobody does offline"),
        ("training.mode", "async", "actors draw for one learner"),
    ],
)
def test_what_cannot_have_agents_is_refused(config: Path, key: str, value: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        load_settings(config, parse_overrides([f"{key}={json.dumps(value)}"]))


def test_an_offline_training_of_the_file_is_one(config: Path) -> None:
    assert load_settings(config, OFFLINE).campaign.agents == 1
