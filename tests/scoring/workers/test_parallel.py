import importlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from types import ModuleType

import pytest

from molbuffer.scoring import ScoringError, WorkerError
from molbuffer.scoring.workers.pool import SMALLEST_PARALLEL, map_chunks

ITEMS = list(range(4 * SMALLEST_PARALLEL))
PATIENCE_SECONDS = 600
"""Longer than anything takes on a machine that has much else to do."""

WORK = """
import os, sys, time

class Stubborn(Exception):
    def __init__(self, one, two):
        super().__init__(one)

def double(items, factor=2):
    print("a scorer that prints")
    return [item * factor for item in items]

def pids(items):
    time.sleep(0.02)
    return [os.getpid() for _ in items]

def modules(items):
    return [sorted(sys.modules) for _ in items]

def refuse(items):
    raise KeyError("refused", items[0])

def refuse_unpicklably(items):
    raise Stubborn("one", "two")

def unpicklable(items):
    return [lambda: None for _ in items]

def nested(items):
    from molbuffer.scoring.workers.pool import map_chunks
    return map_chunks(pids, list(items) * 100)[: len(items)]

def die(items):
    os._exit(3)

def die_once(items, marker):
    if items[0] == 0:
        try:
            os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            pass
        else:
            os.kill(os.getpid(), 9)
    return list(items)
"""


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module that workers can import, from a folder that is on the import path since just now."""
    name = f"work_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(WORK)
    monkeypatch.syspath_prepend(tmp_path)
    return importlib.import_module(name)


def test_results_come_in_the_order_of_the_items(work: ModuleType) -> None:
    assert map_chunks(work.double, ITEMS, 3, workers=2) == [3 * item for item in ITEMS]


def test_several_processes_share_the_work_and_stay(work: ModuleType) -> None:
    first = set(map_chunks(work.pids, ITEMS, workers=2))
    second = set(map_chunks(work.pids, ITEMS, workers=2))
    assert os.getpid() not in first | second
    assert len(first | second) == 2


def test_few_items_are_done_here(work: ModuleType) -> None:
    assert set(map_chunks(work.pids, ITEMS[: SMALLEST_PARALLEL - 1], workers=2)) == {os.getpid()}
    assert set(map_chunks(work.pids, ITEMS, workers=1)) == {os.getpid()}
    assert map_chunks(work.double, []) == []


def test_a_worker_starts_no_workers(work: ModuleType) -> None:
    assert set(map_chunks(work.nested, ITEMS, workers=2)) <= set(map_chunks(work.pids, ITEMS, workers=2))


def test_workers_do_without_torch(work: ModuleType) -> None:
    (imported, *_) = map_chunks(work.modules, ITEMS, workers=2)
    assert "molbuffer.scoring.workers.worker" in imported
    assert not {"torch", "duckdb", "zarr", "prefect", "pydantic"} & set(imported)


def test_threads_share_the_processes(work: ModuleType) -> None:
    results: dict[int, list[int]] = {}

    def share(factor: int) -> None:
        results[factor] = map_chunks(work.double, ITEMS, factor, workers=2)

    threads = [threading.Thread(target=share, args=(factor,)) for factor in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {factor: [factor * item for item in ITEMS] for factor in range(4)}


def test_an_exception_comes_back_with_the_traceback_of_the_worker(work: ModuleType) -> None:
    with pytest.raises(KeyError, match="refused") as caught:
        map_chunks(work.refuse, ITEMS, workers=2)
    assert caught.value.args[0] == "refused"
    assert "in refuse" in caught.value.__notes__[0]
    assert map_chunks(work.double, ITEMS, workers=2)[-1] == 2 * ITEMS[-1], "the processes are of use still"


def test_an_exception_that_cannot_be_pickled_is_told_all_the_same(work: ModuleType) -> None:
    with pytest.raises(ScoringError, match="Stubborn: one"):
        map_chunks(work.refuse_unpicklably, ITEMS, workers=2)


def test_results_that_cannot_be_pickled_are_an_error_not_a_hang(work: ModuleType) -> None:
    with pytest.raises(Exception, match="pickle"):
        map_chunks(work.unpicklable, ITEMS, workers=2)


def test_what_a_process_cannot_import_is_done_here(work: ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    factor = type("OnlyHere", (int,), {})(3)
    assert map_chunks(work.double, ITEMS, factor, workers=2) == [3 * item for item in ITEMS]
    assert map_chunks(lambda items: list(items), ITEMS, workers=2) == ITEMS
    assert "one process" in caplog.text


def test_a_chunk_whose_process_was_killed_is_done_again(
    work: ModuleType, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert map_chunks(work.die_once, ITEMS, str(tmp_path / "died"), workers=2) == ITEMS
    assert "SIGKILL" in caplog.text


def test_a_chunk_that_kills_every_process_is_an_error_that_says_so(work: ModuleType) -> None:
    with pytest.raises(WorkerError, match="exit code 3"):
        map_chunks(work.die, ITEMS[:SMALLEST_PARALLEL], workers=2)
    assert map_chunks(work.double, ITEMS, workers=2)[1] == 2, "the next call has fresh processes"


SCRIPT = """
import os, sys, time
print("imported", flush=True)
from molbuffer.scoring.workers.pool import map_chunks
from molbuffer.scoring import standardise_many
import work_of_script
assert standardise_many(["OCC"] * 300) == ["CCO"] * 300
print("pids", *set(map_chunks(work_of_script.pids, list(range(300)), workers=2)), flush=True)
if "wait" in sys.argv:
    time.sleep(600)
"""


def start_script(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    (folder / "work_of_script.py").write_text(WORK)
    script = folder / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    return subprocess.Popen([sys.executable, script, *arguments], stdout=subprocess.PIPE, text=True)


def test_a_script_without_a_main_guard_runs_once_and_ends_quickly(tmp_path: Path) -> None:
    script = start_script(tmp_path)
    assert script.stdout is not None
    lines = iter(script.stdout)
    assert next(lines) == "imported\n"
    pids = [int(word) for word in next(lines).split()[1:]]
    started = time.monotonic()
    assert len(pids) == 2
    assert list(lines) == [], "imported once"
    assert script.wait(PATIENCE_SECONDS) == 0
    assert time.monotonic() - started < PATIENCE_SECONDS / 3
    script.stdout.close()
    assert_all_gone(pids)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["kill", "interrupt"])
def test_workers_do_not_outlive_their_parent(tmp_path: Path, how: signal.Signals) -> None:
    script = start_script(tmp_path, "wait")
    assert script.stdout is not None
    pids = pids_from(script)
    script.send_signal(how)
    assert script.wait(PATIENCE_SECONDS) != 0
    script.stdout.close()
    assert_all_gone(pids)


def pids_from(script: subprocess.Popen[str]) -> list[int]:
    assert script.stdout is not None
    line = next(line for line in script.stdout if line.startswith("pids"))
    return [int(word) for word in line.split()[1:]]


def assert_all_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    left = pids
    while left and time.monotonic() < deadline:
        left = [pid for pid in left if Path(f"/proc/{pid}").exists()]
        time.sleep(0.02)
    assert not left
