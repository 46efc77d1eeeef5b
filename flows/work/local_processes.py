"""Processes that a run starts on its machine, restarts when they are killed, and stops when it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, Protocol

from molbuffer.flows.campaign import warn
from molbuffer.lab import LocalProcessError

MOST_RESTARTS = 3
"""The number of restarts of killed processes, counted over all processes of a run."""
SECONDS_TO_END, SECONDS_TO_STOP = 5.0, 20.0
"""The time that processes have to end by themselves, and the time after the request to stop before they are killed.

On request, a process first ends its present library call, and records that its run is interrupted. The run of a killed
process counts as lost until it is resumed.
"""


@dataclass
class LocalProcesses:
    """The processes that a run has started, by number.

    Attributes:
        what: the name of one of them in messages, such as "actor".
    """

    what: str
    _run_id: str = ""
    _processes: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    _logs: dict[int, IO[bytes]] = field(default_factory=dict)
    _restarts: int = 0

    def start_all(self, run_id: str, numbers: Sequence[int]) -> None:
        """Start the processes of a run, after the run is recorded."""
        self._run_id = run_id
        for number in numbers:
            self._logs[number] = tempfile.TemporaryFile()  # noqa: SIM115 (it lasts as long as the process)
            self.launch(number)

    def launch(self, number: int) -> None:
        """Start or restart one process."""
        raise NotImplementedError

    def tell_to_stop(self, process: subprocess.Popen[bytes]) -> None:
        """Request a process to end."""
        process.send_signal(signal.SIGINT)

    def watch(self) -> None:
        """Restart processes that were killed.

        Raises:
            LocalProcessError: a process has failed, or processes were killed more than ``MOST_RESTARTS`` times.
        """
        for number, process in list(self._processes.items()):
            code = process.poll()
            if code is None or code == 0:
                continue
            who = f"{self.what} {number} of run {self._run_id}"
            if code > 0 or self._restarts >= MOST_RESTARTS:
                end = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"has failed with code {code}"
                raise LocalProcessError(f"{who} {end}: {self._last_words(number)}")
            self._restarts += 1
            warn(f"{who} was killed by {signal.Signals(-code).name}; it is started again")
            _end_pipe(process)
            self.launch(number)

    @property
    def number_at_work(self) -> int:
        """The number of processes that have not ended with success."""
        return sum(process.poll() != 0 for process in self._processes.values())

    def stop(self, *, at_once: bool) -> None:
        """Wait for the processes, and stop those that do not end by themselves; with ``at_once``, do not wait first."""
        if not at_once:
            self._wait(SECONDS_TO_END)
        for process in self._processes.values():
            if process.poll() is None:
                self.tell_to_stop(process)
        self._wait(SECONDS_TO_STOP)
        for process in self._processes.values():
            if process.poll() is None:
                process.kill()
                process.wait()
            _end_pipe(process)
        for log in self._logs.values():
            log.close()

    def spawn(self, number: int, code: str, words: Sequence[str] = (), stdin: int = subprocess.DEVNULL) -> None:
        """Start a process of this Python that runs ``code``; its standard error goes to its log.

        The spawn method of ``multiprocessing`` would import this process's main module again.
        """
        self._processes[number] = subprocess.Popen(
            [sys.executable, "-c", code, *words],
            stdin=stdin,
            stdout=subprocess.DEVNULL,
            stderr=self._logs[number],
            # Ctrl-C in a terminal reaches the whole group; a process with a pipe is stopped by this process alone.
            start_new_session=stdin == subprocess.PIPE,
        )

    def _wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        for process in self._processes.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))

    def _last_words(self, number: int) -> str:
        log = self._logs[number]
        log.seek(0)
        lines = log.read().decode(errors="replace").strip().splitlines()
        return "\n".join(lines[-5:]) or "it wrote nothing to standard error"


def _end_pipe(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        with suppress(BrokenPipeError):
            process.stdin.close()


class Stopped(Protocol):
    """Processes that are stopped when their run ends."""

    def stop(self, *, at_once: bool) -> None:
        """Stop, at once or after a wait."""


@contextmanager
def stopped_after(processes: Stopped) -> Iterator[None]:
    """Stop processes at the end of this context, and without waiting for them if it ends with an error."""
    try:
        yield
    except BaseException:
        processes.stop(at_once=True)
        raise
    processes.stop(at_once=False)
