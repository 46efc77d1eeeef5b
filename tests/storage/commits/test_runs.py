"""The life of a run: started, then finished, failed, interrupted, or lost with its process."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest

from molbuffer.storage import SampleStore, UnknownRunError, shown_event
from molbuffer.storage.commits.processes import Process
from molbuffer.storage.records import Run, RunKind, RunStatus

STARTS_A_RUN = """
import sys, time
from molbuffer.storage import SampleStore
from molbuffer.storage.records import Run, RunKind
with SampleStore.open(sys.argv[1]) as store:
    store.start_run(Run("theirs", "theirs", RunKind.BUILD, "{}", 0))
    print("started", flush=True)
    time.sleep(600)
"""


def test_a_recorded_run_is_finished_with_its_block(store: SampleStore) -> None:
    with store.recorded_run(Run("r", "r", RunKind.BUILD, "{}", 0)) as status:
        assert status is RunStatus.STARTED
    with store.recorded_run(Run("r", "r", RunKind.BUILD, "{}", 0)) as status:
        assert status is RunStatus.RESUMED
    here = Process.current().to_json()
    assert events_of(store, "r") == [("started", here), ("finished", None), ("resumed", here), ("finished", None)]


class Ended(BaseException):
    """As Prefect's error of SIGTERM."""


def interrupt_duckdb() -> None:
    """DuckDB makes this error of the one that a handler of a signal raises in it."""
    raise RuntimeError("Query interrupted") from KeyboardInterrupt()


def fail_to_clean_up() -> None:
    try:
        raise KeyboardInterrupt
    finally:
        raise OSError("cannot clean up")


def raise_(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    ("work", "status"),
    [
        (lambda: raise_(ValueError("no such thing")), "failed"),
        (lambda: raise_(SystemExit(3)), "failed"),
        (lambda: raise_(KeyboardInterrupt()), "interrupted"),
        (lambda: raise_(Ended()), "interrupted"),
        (interrupt_duckdb, "interrupted"),
        (fail_to_clean_up, "interrupted"),
    ],
)
def test_a_recorded_run_that_ends_with_an_error_has_failed_or_was_interrupted(
    store: SampleStore, work: Callable[[], None], status: str
) -> None:
    with pytest.raises(BaseException) as caught, store.recorded_run(Run("r", "r", RunKind.SCORE, "{}", 0)):  # noqa: PT011
        work()
    assert events_of(store, "r")[1] == (status, f"{caught.type.__name__}: {caught.value}")


def test_an_error_is_not_hidden_by_a_store_that_cannot_record_it(store: SampleStore) -> None:
    run = Run("r", "r", RunKind.SCORE, "{}", 0)
    with pytest.raises(ValueError, match="the cause") as caught, store.recorded_run(run):
        store.close()
        raise ValueError("the cause")
    assert any("could not record that run r ended" in note for note in caught.value.__notes__)


def test_the_runs_of_this_process_that_have_not_ended_are_interrupted(store: SampleStore) -> None:
    for name in ("ended", "open", "open too"):
        store.start_run(Run(name, name, RunKind.BUILD, "{}", 0))
    store.finish_run("ended", RunStatus.FINISHED)
    store.finish_run("open", RunStatus.INTERRUPTED, "Interrupted: SIGINT")
    assert store.interrupt_runs() == ["open", "open too"]
    assert events_of(store, "open")[1:] == [("interrupted", "Interrupted: SIGINT")]
    assert events_of(store, "open too")[1:] == [("interrupted", None)]
    assert store.interrupt_runs() == ["open", "open too"]


def test_a_run_is_lost_when_its_process_is_gone_and_only_then(store: SampleStore) -> None:
    program = [sys.executable, "-c", STARTS_A_RUN, str(store.path)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        [(status, detail)] = events_of(store, "theirs")
        assert shown_event(status, detail) == ("started", f"process {process.pid} on {platform.node()}")
        process.kill()
        # What is left of it until its parent asks is no process any more.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert shown_event(status, detail)[0] == "lost"
    assert shown_event(status, detail)[0] == "lost"
    assert store.interrupt_runs() == []
    assert shown_event("finished", detail) == ("finished", detail)


@pytest.mark.parametrize(
    ("changed", "gone"),
    [
        ({}, False),
        ({"started": 1}, True),  # another process has its number now
        ({"pid": 2**22 + 1}, True),
        ({"pid": 2**22 + 1, "started": None}, True),
        ({"started": None}, False),
        ({"host": "elsewhere", "pid": 2**22 + 1}, False),
        ({"boot": "another", "pid": 2**22 + 1}, False),
    ],
)
def test_a_process_is_judged_on_its_own_machine_and_boot_only(changed: dict[str, object], gone: bool) -> None:
    process = replace(Process.current(), **changed)
    assert process.gone is gone
    assert Process.parse(process.to_json()) == process


@pytest.mark.parametrize("detail", [None, "", "ValueError: x", "[]", '{"pid": 3}', json.dumps({"host": 1})])
def test_a_run_whose_process_is_unknown_is_not_lost(detail: str | None) -> None:
    assert shown_event("started", detail) == ("started", detail)


def events_of(store: SampleStore, run_id: str) -> list[tuple[str, str | None]]:
    found = store.query(f"SELECT status, detail FROM run_events WHERE run_id = '{run_id}' ORDER BY created")
    return found.rows()


def test_what_a_run_was_given_stands_beside_its_status(store: SampleStore) -> None:
    store.start_run(Run("r", "r", RunKind.TRAIN, "{}", 0))
    store.record_given("r", '{"n": 1}')
    store.record_given("r", '{"n": 2}')
    assert store.given("r") == ['{"n": 1}', '{"n": 2}']
    assert store.run("r").config == "{}"
    # The run is at work still, as a signal finds it.
    assert store.interrupt_runs() == ["r"]
    assert [status for status, _ in events_of(store, "r")] == ["started", "given", "given", "interrupted"]
    with pytest.raises(UnknownRunError):
        store.record_given("nobody", "{}")
