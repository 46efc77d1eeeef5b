"""The actors that a learner starts on its own machine, a process each, and stops when it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from molbuffer.flows.campaign import Campaign, warn
from molbuffer.lab import LocalActorError, actor_run_id

MOST_RESTARTS = 3
"""How often an actor that the system has killed is started again."""
SECONDS_TO_END, SECONDS_TO_STOP = 5.0, 5.0
"""The time that an actor has to see the end of its learner, and that it has after a signal before it is killed."""
_COMMAND = "from molbuffer.flows.cli import main; main()"


@dataclass
class LocalActors:
    """The processes of the actors of a learner, by number.

    Each has the same run when the learner is resumed, and goes on with it.
    """

    store: Path
    _learner_id: str = ""
    _device: str | None = None
    _processes: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    _logs: dict[int, IO[bytes]] = field(default_factory=dict)
    _restarts: int = 0

    def start(self, campaign: Campaign) -> None:
        """Start the actors of a learner whose run is recorded."""
        self._learner_id, self._device = campaign.run_id, campaign.device
        for number in range(campaign.settings.rates.table.local):
            self._logs[number] = tempfile.TemporaryFile()  # noqa: SIM115 (it lasts as long as the actor)
            self._start(number)

    def watch(self) -> None:
        """Start actors again that were killed.

        Raises:
            LocalActorError: one has failed, or was killed too often.
        """
        for number, process in list(self._processes.items()):
            code = process.poll()
            if code is None or code == 0:
                continue
            if code > 0 or self._restarts >= MOST_RESTARTS:
                end = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"has failed with code {code}"
                raise LocalActorError(f"actor {number} of run {self._learner_id} {end}: {self._last_words(number)}")
            self._restarts += 1
            warn(f"actor {number} of run {self._learner_id} was killed by {signal.Signals(-code).name}; it goes on")
            self._start(number)

    def stop(self, *, at_once: bool) -> None:
        """Wait for the actors, and end those that stay; ``at_once`` does not wait first."""
        if not at_once:
            self._wait(SECONDS_TO_END)
        for process in self._processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        self._wait(SECONDS_TO_STOP)
        for process in self._processes.values():
            if process.poll() is None:
                process.kill()
                process.wait()
        for log in self._logs.values():
            log.close()

    def _start(self, number: int) -> None:
        # The start method of Python's own pools would import this process's main module again.
        words = ["act", "--store", str(self.store), "--run", self._learner_id, "--local-to", str(os.getpid())]
        words += ["--run-id", actor_run_id(self._learner_id, number)]
        words += [] if self._device is None else ["--device", self._device]
        log = self._logs[number]
        self._processes[number] = subprocess.Popen(
            [sys.executable, "-c", _COMMAND, *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log
        )

    def _wait(self, seconds: float) -> None:
        for process in self._processes.values():
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                return

    def _last_words(self, number: int) -> str:
        log = self._logs[number]
        log.seek(0)
        lines = log.read().decode(errors="replace").strip().splitlines()
        return "\n".join(lines[-5:]) or "it said nothing"


@contextmanager
def local_actors(store: Path) -> Iterator[LocalActors]:
    """Give the actors of a learner, none of which is started yet, and end them after it.

    It belongs around the record of the learner's run, so that they see that this has ended.
    """
    actors = LocalActors(store)
    try:
        yield actors
    except BaseException:
        actors.stop(at_once=True)
        raise
    actors.stop(at_once=False)
