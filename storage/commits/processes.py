"""The process that works on a run, which shows whether the run's process has ended.

A process has ended if this machine, in the same boot and the same process namespace, has no process of its number, or
has a process of this number that started later. For processes of other machines this is not known, so that their runs
count as active.
"""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path

_PROC = Path("/proc")
_START_FIELD = 19
"""The index of the start time in ``/proc/PID/stat`` after the program's name, which may have spaces and brackets."""


@dataclass(frozen=True)
class Process:
    """A process of any machine.

    Attributes:
        host: the name of the machine.
        pid: the number of the process on the machine.
        started: the start of the process, in clock ticks since the boot of the machine; None if it is unknown.
        boot: the ids of the boot of the machine and of the process namespace; "" if they are unknown.
    """

    host: str
    pid: int
    started: int | None
    boot: str

    @classmethod
    def current(cls) -> Process:
        """Return this process."""
        return cls(platform.node(), os.getpid(), _start_of(os.getpid()), _boot())

    @classmethod
    def parse(cls, text: str | None) -> Process | None:
        """Return the process that ``to_json`` wrote; None for any other text."""
        try:
            return cls(**json.loads(text or ""))
        except (ValueError, TypeError):
            return None

    def to_json(self) -> str:
        """Return the process as JSON."""
        return json.dumps(asdict(self))

    @property
    def here(self) -> bool:
        """Whether the process belongs to this machine, boot and process namespace, so that its end can be detected."""
        return (self.host, self.boot) == (platform.node(), _boot())

    @property
    def gone(self) -> bool:
        """Whether the process is known to have ended."""
        if not self.here:
            return False
        if self.started is not None:
            return _start_of(self.pid) != self.started
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:  # the process exists and belongs to another user
            return False
        return False


def _start_of(pid: int) -> int | None:
    """Return the start of a process of this machine in clock ticks; None if it has ended, or if it is not known."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    # A zombie has ended; only its parent has not collected its status yet.
    return None if fields[0] in "ZX" else int(fields[_START_FIELD])


def _boot() -> str:
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink(_PROC / 'self/ns/pid')}"
    except OSError:
        return ""
