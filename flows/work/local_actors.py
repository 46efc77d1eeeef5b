"""The actors that a learner starts on its own machine, each in a process, and stops when it ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from molbuffer.flows.campaign import Campaign
from molbuffer.flows.work.local_processes import LocalProcesses, stopped_after
from molbuffer.lab import actor_run_id

_COMMAND = "from molbuffer.flows.cli import main; main()"


@dataclass
class LocalActors(LocalProcesses):
    """The processes of the actors of a learner, by number.

    When the learner is resumed, each actor resumes its own run.
    """

    what: str = "actor"
    store: Path = field(kw_only=True)
    _device: str | None = None

    def start(self, campaign: Campaign) -> None:
        """Start the actors of a learner, after its run is recorded."""
        self._device = campaign.device
        self.start_all(campaign.run_id, range(campaign.settings.rates.table.local))

    def launch(self, number: int) -> None:
        """Start the process of one actor."""
        words = ["act", "--store", str(self.store), "--run", self._run_id, "--local-to", str(os.getpid())]
        words += ["--run-id", actor_run_id(self._run_id, number)]
        words += [] if self._device is None else ["--device", self._device]
        self.spawn(number, _COMMAND, words)


@contextmanager
def local_actors(store: Path) -> Iterator[LocalActors]:
    """Yield the actors of a learner, not started yet, and stop them at the end of the block.

    The block must contain the recording of the learner's run, so that the actors see its end before they are stopped.
    """
    actors = LocalActors(store=store)
    with stopped_after(actors):
        yield actors
