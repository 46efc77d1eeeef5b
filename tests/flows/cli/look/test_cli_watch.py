"""``molbuffer watch``: one picture of a run, at the widths of terminals, whatever its names are."""

import importlib
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from molbuffer.flows.cli.look.watch_facts import WatchFacts, chosen_run, watch_facts
from molbuffer.flows.cli.look.watch_view import BLOCKS, PLAIN, duration, frame, sparkline
from molbuffer.flows.errors import UsageError
from molbuffer.storage import (
    Checkpoint,
    Commit,
    Metric,
    Run,
    RunKind,
    RunStatus,
    SampleStore,
    UnknownRunError,
)

Command = Callable[..., Any]
command = importlib.import_module("molbuffer.flows.cli.look.watch")
RUN = "a" * 32


@pytest.fixture(scope="module")
def working_template(scored_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which the run with rows is at work, with the metrics of four of its ten iterations."""
    path = tmp_path_factory.mktemp("working") / "lab"
    with SampleStore.open(shutil.copytree(scored_template, path)) as store:
        store.start_run(
            Run("b" * 32, "[red]markup[/red]", RunKind.TRAIN, '{"campaign": {"iterations": 10}}', 0, "f" * 64)
        )
        metrics = [
            (at, Metric(name, value))
            for at in range(4)
            for name, value in (
                ("reward_live", 0.1 * at),
                ("loss", 5.0 - at),
                ("seconds_drawing", 4.0),
                ("seconds_learning", 2.0),
            )
        ]
        store.commit(Commit(run_id="b" * 32, run_metrics=metrics, checkpoint=Checkpoint("b" * 32, 4, {"a": b""})))
    return path


@pytest.fixture
def working(working_template: Path, open_copy: Callable[[Path], SampleStore]) -> SampleStore:
    """A copy of it."""
    return open_copy(working_template)


@pytest.fixture(scope="module")
def facts(working_template: Path) -> dict[str, WatchFacts]:
    """The facts of its two runs."""
    with SampleStore.open(working_template, read_only=True) as store:
        return {run_id: watch_facts(store, run_id) for run_id in (RUN, "b" * 32)}


def drawn(facts: WatchFacts, width: int, height: int, **how: Any) -> list[str]:
    console = Console(width=width, height=height, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(frame(facts, width, height, facts.run.started + timedelta(minutes=3), **how))
    console.file.close()
    return console.export_text().splitlines()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 50), (40, 10)])
def test_a_picture_fits_the_terminal(facts: dict[str, WatchFacts], width: int, height: int) -> None:
    for of_run in facts.values():
        lines = drawn(of_run, width, height)
        assert max(map(len, lines)) <= width
        if height >= 24:
            assert len(lines) <= height
    text = "\n".join(drawn(facts[RUN], 80, 24))
    assert "drawn" in text and "100%" in text and "0.750" in text and "best molecules" in text


def test_speed_and_time_left_are_those_of_the_newest_iterations(facts: dict[str, WatchFacts]) -> None:
    found = facts["b" * 32]
    assert (found.iterations, found.wanted, found.seconds, found.seconds_left) == (4, 10, 6.0, 36.0)
    text = "\n".join(drawn(found, 80, 24))
    assert "iteration 4/10" in text and "10.0 iterations/min" in text and "36 s left" in text
    assert "3 min so far" in text and "loss" in text and "process" in text


def test_names_are_no_markup_and_ascii_is_enough(facts: dict[str, WatchFacts]) -> None:
    lines = drawn(facts["b" * 32], 80, 24)
    assert lines[0].startswith("[red]markup[/red] bbbbbbbb train")
    plain = "\n".join(drawn(facts[RUN], 80, 24, ascii_only=True)).replace("·", "").replace("…", "")
    assert plain.isascii()


def test_the_run_is_the_named_one_or_the_newest_at_work(working: SampleStore) -> None:
    assert chosen_run(working, None) == "b" * 32
    assert chosen_run(working, "aaaa") == RUN
    working.finish_run("b" * 32, RunStatus.FINISHED)
    assert watch_facts(working, "b" * 32).seconds_left is None
    working.finish_run(RUN, RunStatus.FINISHED)
    assert chosen_run(working, None) == "b" * 32
    with pytest.raises(UnknownRunError, match="no run in"):
        chosen_run(working, "nobody")


def test_a_store_without_runs_says_so(store: SampleStore) -> None:
    with pytest.raises(UsageError, match="has no run yet"):
        chosen_run(store, None)


def test_an_offline_run_has_no_rows_and_says_why(working: SampleStore) -> None:
    working.start_run(Run("c" * 32, "again", RunKind.OFFLINE, '{"offline": {"steps": 3}}', 0, "f" * 64))
    working.commit(Commit(run_id="c" * 32, run_metrics=[(at, Metric("loss", 1.0)) for at in range(3)]))
    lines = "\n".join(drawn(watch_facts(working, "c" * 32), 80, 24))
    assert "iteration 3/3" in lines and "it learns from stored ones" in lines and "it draws no molecules" in lines
    assert "0%" not in lines and "none yet" not in lines


def test_once_prints_one_picture_and_changes_nothing(scored_store: Path, molbuffer: Command) -> None:
    with SampleStore.open(scored_store) as store:
        before = store.snapshot()
    done = molbuffer("watch", "--store", scored_store, "--once", COLUMNS="100")
    assert done.returncode == 0 and "tiny aaaaaaaa build" in done.stdout and "snapshot" in done.stdout
    with SampleStore.open(scored_store) as store:
        assert store.snapshot() == before


def test_it_follows_new_snapshots_until_it_is_interrupted(
    working: SampleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[int] = []
    monkeypatch.setattr(command, "_picture", lambda console, facts: shown.append(facts.snapshot) or "")
    looks = iter(range(3))

    def sleep(_: float) -> None:
        if (look := next(looks)) == 2:
            raise KeyboardInterrupt
        working.commit(Commit(run_id=RUN, run_metrics=[(look, Metric("loss", 1.0))]))

    monkeypatch.setattr(command.time, "sleep", sleep)
    monkeypatch.setattr(command, "REST", 0.0)
    facts = watch_facts(working, RUN)
    with open("/dev/null", "w") as nowhere:
        command._follow(Console(file=nowhere), working, RUN, facts)
    assert shown == [facts.snapshot, facts.snapshot + 1, facts.snapshot + 2]


def test_curves_are_lines_of_characters() -> None:
    assert sparkline([0.0, 0.5, 1.0], 5, low=0, high=1) == BLOCKS[1] + BLOCKS[5] + BLOCKS[8]
    assert sparkline([0.0, 1.0], 5, low=0, high=1) == BLOCKS[1] * 2 + BLOCKS[8] * 2
    assert sparkline([0.0, float("nan"), 1.0], 5, ascii_only=True) == PLAIN[1] + " " + PLAIN[8]
    assert sparkline([1.0] * 100 + [2.0] * 100, 4) == BLOCKS[1] * 2 + BLOCKS[8] * 2
    assert sparkline([], 4) == "" and sparkline([float("inf")], 4) == ""
    assert sparkline([3.0, 3.0], 2) == BLOCKS[1 + round(0.5 * 7)] * 2


def test_durations_are_said_as_people_say_them() -> None:
    assert [duration(each) for each in (40, 720, 3.5 * 3600, 2.1 * 86400)] == ["40 s", "12 min", "3.5 h", "2.1 d"]
