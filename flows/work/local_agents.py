"""The further agents of a group: trainings in processes of their own, which end with the command.

The command itself is the first agent. The process of a further agent reads its job from a pipe, which the command keeps
open as long as it lives: when the pipe is closed, for whatever reason the command ended, the agent ends.
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
    """The processes of all agents except the first, by number.

    When the first agent is resumed, each further agent resumes its own run.
    """

    what: str = "agent"
    store: Path = field(kw_only=True)
    _campaign: Campaign | None = None

    def start(self, campaign: Campaign) -> None:
        """Start the further agents of a group, after the run of the first one is recorded."""
        self._campaign = campaign
        self.start_all(campaign.run_id, range(1, campaign.settings.campaign.agents))

    def launch(self, number: int) -> None:
        """Start the process of one agent, and give it its job."""
        assert self._campaign is not None
        job = {
            # Names of policies are resolved already, so that all agents start from the same policies.
            "config": self._campaign.settings.to_json(),
            "store": str(self.store.resolve()),
            "first": self._run_id,
            "number": number,
            "device": self._campaign.device,
        }
        self.spawn(number, _COMMAND, stdin=subprocess.PIPE)
        pipe = self._processes[number].stdin
        assert pipe is not None
        # If the agent has ended before it read its job, the next ``watch`` reports the error in its log.
        with contextlib.suppress(BrokenPipeError):
            pipe.write(json.dumps(job).encode() + b"\n")
            pipe.flush()

    def tell_to_stop(self, process: subprocess.Popen[bytes]) -> None:
        """Close the pipe of an agent, which ends it."""
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()

    def wait(self) -> None:
        """Wait until all agents have finished; ``watch`` describes the errors."""
        told = time.monotonic() + SECONDS_BEFORE_TOLD
        while self.number_at_work:
            self.watch()
            time.sleep(SECONDS_BETWEEN_LOOKS)
            if time.monotonic() >= told:
                warn(f"the first agent has finished, and waits for {self.number_at_work} others")
                told = math.inf

    @property
    def run_ids(self) -> list[str]:
        """The runs of these agents, by number."""
        return [agent_run_id(self._run_id, number) for number in self._processes]


@contextmanager
def local_agents(store: Path) -> Iterator[LocalAgents]:
    """Yield the further agents of a group, not started yet, and stop them at the end of the block."""
    agents = LocalAgents(store=store)
    with stopped_after(agents):
        yield agents
