"""The agents beside the first one of a group: trainings of their own, a process each, which end with the command.

The command is the first agent. A process of another one reads its job from a pipe, which the command keeps open for as
long as it lives: the end of the pipe is the end of the agent, whatever has ended the command.
"""

from __future__ import annotations

import contextlib
import json
import math
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from molbuffer.flows.campaign import Campaign, agent_run_id, warn
from molbuffer.flows.work.local_processes import LocalProcesses, stopped_after

SECONDS_BETWEEN_LOOKS, SECONDS_BEFORE_TOLD = 0.2, 5.0
_COMMAND = "from molbuffer.flows.work.agent_process import main; main()"


@dataclass
class LocalAgents(LocalProcesses):
    """The processes of all agents but the first, by number.

    Each has the same run when the first one is resumed, and goes on with it.
    """

    what: str = "agent"
    store: Path = field(kw_only=True)
    _campaign: Campaign | None = None

    def start(self, campaign: Campaign) -> None:
        """Start the other agents of a group, whose first run is recorded."""
        self._campaign = campaign
        self.start_all(campaign.run_id, range(1, campaign.settings.campaign.agents))

    def launch(self, number: int) -> None:
        """Start the process of one agent, and give it its job."""
        assert self._campaign is not None
        job = {
            # Names of policies are resolved, so that all agents start from the same ones.
            "config": self._campaign.settings.to_json(),
            "store": str(self.store.resolve()),
            "first": self._run_id,
            "number": number,
            "device": self._campaign.device,
        }
        self.spawn(number, _COMMAND, stdin=subprocess.PIPE)
        pipe = self._processes[number].stdin
        assert pipe is not None
        # What has ended an agent before it read its job is in its log, which the next look tells.
        with contextlib.suppress(BrokenPipeError):
            pipe.write(json.dumps(job).encode() + b"\n")
            pipe.flush()

    def tell_to_stop(self, process: subprocess.Popen[bytes]) -> None:
        """End the pipe of an agent."""
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()

    def wait(self) -> None:
        """Wait until all agents are done; the errors are those of ``watch``."""
        told = time.monotonic() + SECONDS_BEFORE_TOLD
        while self.number_at_work:
            self.watch()
            time.sleep(SECONDS_BETWEEN_LOOKS)
            if time.monotonic() >= told:
                warn(f"the first agent is done, and waits for {self.number_at_work} others")
                told = math.inf

    @property
    def run_ids(self) -> list[str]:
        """The runs of these agents, by number."""
        return [agent_run_id(self._run_id, number) for number in self._processes]


@contextmanager
def local_agents(store: Path) -> Iterator[LocalAgents]:
    """Give the agents beside the first one, none of which is started yet, and end them after it."""
    agents = LocalAgents(store=store)
    with stopped_after(agents):
        yield agents
