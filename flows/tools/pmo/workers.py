"""Make the runs of the benchmark, one after another or several at once, each in a process of its own.

A single process for many runs would grow, since libraries do not free all memory after a run.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from molbuffer.flows.tools.pmo.runs import BenchRun, Say, TimeIsUpError, is_done, run_one

ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""The environment of the process of a run."""
ALONE = {**ONE_THREAD, "MOLBUFFER_SCORING_WORKER": "1"}
"""The environment of one of several such processes, each of which scores its molecules itself."""
SECONDS_BETWEEN_LOOKS = 0.1
SECONDS_TO_END = 6.0
"""The time that a process has to record the end of its run, before it is killed; the store stays consistent."""

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from molbuffer.flows.tools.pmo.workers import serve; serve(sys.argv[2])"
)


def run_all(runs: Sequence[BenchRun], jobs: int, say: Say, minutes: float | None = None) -> tuple[list[str], bool]:
    """Make the runs that are not done yet, at most ``jobs`` at a time.

    A run that fails does not end the others.

    Args:
        runs: the runs, in their order.
        jobs: the largest number of processes at once.
        say: is called with a progress line from time to time.
        minutes: the time limit, after which no run begins and running ones are interrupted; None is no limit.

    Returns:
        The titles of the runs that failed, and whether all others are done.
    """
    deadline = None if minutes is None else time.monotonic() + 60 * minutes
    waiting = [run for run in runs if not is_done(run)]
    say(f"{len(runs) - len(waiting)} of {len(runs)} runs are done, {len(waiting)} to go")
    failed = _side_by_side(waiting, jobs, say, deadline)
    return failed, all(is_done(run) for run in waiting if run.title not in failed)


def _side_by_side(waiting: Sequence[BenchRun], jobs: int, say: Say, deadline: float | None) -> list[str]:
    to_come, at_work, failed = list(waiting), list[_Worker](), list[str]()
    try:
        while at_work or (to_come and not _is_over(deadline)):
            while to_come and len(at_work) < jobs and not _is_over(deadline):
                at_work.append(_Worker(to_come.pop(0), deadline, ONE_THREAD if jobs == 1 else ALONE))
            for worker in [each for each in at_work if each.process.poll() is not None]:
                at_work.remove(worker)
                worker.close()
                if worker.process.returncode != 0:
                    say(f"{worker.run.title}: failed with the exit code {worker.process.returncode}")
                    failed.append(worker.run.title)
            time.sleep(SECONDS_BETWEEN_LOOKS)
    finally:
        # Each process ends when its pipe is closed: after Ctrl-C, an error, or a kill of this process.
        for worker in at_work:
            worker.close()
        end = time.monotonic() + SECONDS_TO_END
        for worker in at_work:
            worker.end(end)
    return failed


def _is_over(deadline: float | None) -> bool:
    return deadline is not None and time.monotonic() >= deadline


class _Worker:
    """The process of one run."""

    def __init__(self, run: BenchRun, deadline: float | None, environment: Mapping[str, str]) -> None:
        self.run = run
        left = None if deadline is None else deadline - time.monotonic()
        spec = {"run": asdict(run) | {"folder": str(run.folder.resolve())}, "seconds": left}
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START, json.dumps([str(folder) for folder in sys.path]), json.dumps(spec)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env=os.environ | environment,
            # Ctrl-C must reach only the parent, which ends this process.
            process_group=0,
        )

    def close(self) -> None:
        """Request the process to end, by closing its pipe."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def end(self, time_of_kill: float) -> None:
        """Wait for the end of the process, and kill it at ``time_of_kill``."""
        try:
            self.process.wait(max(0.0, time_of_kill - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def serve(spec: str) -> None:
    """Make one run, given as JSON, in a process that ends when its standard input is closed."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    threading.Thread(target=_end_with_input, daemon=True).start()
    given = json.loads(spec)
    run = BenchRun(**given["run"] | {"folder": Path(given["run"]["folder"])})
    seconds = given["seconds"]
    try:
        run_one(run, _say, None if seconds is None else time.monotonic() + seconds)
    except TimeIsUpError:
        return
    except KeyboardInterrupt:
        raise SystemExit(128 + signal.SIGTERM) from None


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _end_with_input() -> None:
    # A read by sys.stdin would still hold its lock when the interpreter ends.
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
