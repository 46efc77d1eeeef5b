"""Actors that the command of a learner starts on its machine: processes that end with it, and are started again."""

import os
import signal
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from molbuffer.flows.settings.settings import Settings
from molbuffer.flows.tasks.chunks import local_builder
from molbuffer.flows.work import local_actors as module
from molbuffer.flows.work.local_actors import LocalActors, local_actors
from molbuffer.flows.work.local_processes import MOST_RESTARTS
from molbuffer.flows.work.online import run_online
from molbuffer.lab import LocalProcessError, actor_run_id
from molbuffer.storage import Process, SampleStore

CONFIG = """
[campaign]
name = "local"
iterations = 4
batch_size = 8

[policy]
prior = "{prior}"

[objective]
[[objective.components]]
kind = "qed"

[[samplers]]
kind = "model"
name = "drawn"
buffer_size = 8

[training]
mode = "async"

[actors]
local = 1
tolerance = 8
min_rows = 8
"""


def test_a_local_actor_that_is_killed_goes_on_and_ends_with_its_learner(tmp_path: Path, small_prior: Path) -> None:
    settings = Settings.model_validate(tomllib.loads(CONFIG.format(prior=small_prior)))
    killed: list[int] = []

    def kill(_progress: object) -> None:
        with SampleStore.open(tmp_path / "lab", read_only=True) as store:
            found = store.query("SELECT e.detail FROM run_events AS e JOIN runs USING (run_id) WHERE kind = 'build'")
        process = Process.parse(found["detail"][0])
        assert process is not None
        if not killed:
            os.kill(process.pid, signal.SIGKILL)
            killed.append(process.pid)

    result = run_online(settings.to_json(), str(tmp_path / "lab"), local_builder, run_id="1" * 32, watch=kill)
    assert result["iterations"] == 4 and killed
    with SampleStore.open(tmp_path / "lab", read_only=True) as store:
        assert store.query("SELECT run_id FROM runs WHERE kind = 'build'")["run_id"].to_list() == [
            actor_run_id("1" * 32, 0)
        ]
        events = store.query(
            "SELECT status, detail FROM run_events WHERE run_id = ? ORDER BY created", [actor_run_id("1" * 32, 0)]
        ).rows()
        used = store.query("SELECT count(DISTINCT (build_id, row)) AS n FROM consumed").item()
    # On a busy machine it may see the signal before the end.
    assert [status for status, _ in events][:2] == ["started", "resumed"]
    assert events[-1][0] in ("finished", "interrupted")
    assert used == 4 * 8
    process = Process.parse(events[1][1])
    assert process is not None
    end = time.monotonic() + 600
    while not process.gone:
        assert time.monotonic() < end, "the actor outlives its learner"
        time.sleep(0.05)


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], LocalActors]:
    """Starts an actor whose process does something else."""

    def start(code: str) -> LocalActors:
        monkeypatch.setattr(module, "_COMMAND", code)
        actors = LocalActors(store=tmp_path)
        campaign: Any = SimpleNamespace(
            run_id="1" * 32,
            device="cpu",
            settings=SimpleNamespace(rates=SimpleNamespace(table=SimpleNamespace(local=1))),
        )
        actors.start(campaign)
        return actors

    return start


def ended(actors: LocalActors) -> None:
    actors._processes[0].wait(600)


def test_an_actor_that_fails_ends_its_learner_with_its_last_words(started: Callable[[str], LocalActors]) -> None:
    actors = started("import sys; sys.exit('error: no receptor')")
    ended(actors)
    with pytest.raises(LocalProcessError, match=r"failed with code 1: error: no receptor"):
        actors.watch()
    actors.stop(at_once=True)


def test_an_actor_that_has_done_its_work_is_left_alone(started: Callable[[str], LocalActors]) -> None:
    actors = started("pass")
    ended(actors)
    actors.watch()
    actors.stop(at_once=False)


def test_an_actor_that_is_killed_too_often_ends_its_learner(started: Callable[[str], LocalActors]) -> None:
    actors = started("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    for _ in range(MOST_RESTARTS):
        ended(actors)
        actors.watch()
    ended(actors)
    with pytest.raises(LocalProcessError, match="was killed by SIGKILL"):
        actors.watch()
    actors.stop(at_once=True)


def test_actors_are_stopped_where_their_learner_fails(started: Callable[[str], LocalActors], tmp_path: Path) -> None:
    actors = started("import time; time.sleep(600)")
    process = actors._processes[0]
    with pytest.raises(RuntimeError, match="diverged"), local_actors(tmp_path) as given:
        given._processes, given._logs = actors._processes, actors._logs
        raise RuntimeError("diverged")
    assert process.poll() == -signal.SIGINT or process.poll() == 1
