"""The process of a further agent of a group: it reads a job from standard input, trains, and ends with that pipe."""

from __future__ import annotations

import json
import os
import signal
import threading

SECONDS_TO_END = 8.0
"""The time that the run has to be recorded as interrupted, before the process ends without it."""


def main() -> None:
    """Read a job, one line of JSON, from standard input, and train by it."""
    from molbuffer.lab import kept_ctrl_c, limit_threads

    # A command in the background of a script ignores SIGINT, and its children inherit that; the agent ends by SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    job = json.loads(_read_line())
    threading.Thread(target=_end_with_pipe, name="end-with-pipe", daemon=True).start()
    limit_threads()
    # These modules import torch, which reads the settings of its threads once, when it is imported.
    from molbuffer.flows.campaign import AgentPlace
    from molbuffer.flows.tasks import local_builder
    from molbuffer.flows.work.online import run_online

    agent = AgentPlace(job["first"], job["number"])
    with kept_ctrl_c():
        run_online(job["config"], job["store"], local_builder, run_id=agent.run_id, device=job["device"], agent=agent)


def _read_line() -> bytes:
    # Python's own standard input has a lock, which a waiting thread would still hold when the process ends.
    line = b""
    while not line.endswith(b"\n"):
        if not (part := os.read(0, 65536)):
            raise EOFError("the job of this agent is missing on standard input: the first agent's command writes it")
        line += part
    return line


def _end_with_pipe() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGINT)
    threading.Event().wait(SECONDS_TO_END)
    os._exit(128 + signal.SIGINT)
