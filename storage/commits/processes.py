"""The process that works on a run, by which a run is known whose process is gone.

A process is gone when this machine, in the same boot and in the same space of process numbers, has none of its number,
or another one that started later. Of any other machine nothing can be said, so that its runs count as going on.
"""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path

_PROC = Path("/proc")
_START_FIELD = 19
"""The start in ``/proc/PID/stat``, counted after the name of the program, which may have spaces and brackets."""


@dataclass(frozen=True)
class Process:
    """A process of some machine.

    Attributes:
        host: the name of the machine.
        pid: its number there.
        started: the start of the process in clock ticks after that of the machine; None where that is unknown.
        boot: the boot of the machine and the space of process numbers in it; "" where that is unknown.
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
        """Whether it is of this machine, boot and space of process numbers, so that it can be looked for."""
        return (self.host, self.boot) == (platform.node(), _boot())

    @property
    def gone(self) -> bool:
        """Whether it is known to have ended."""
        if not self.here:
            return False
        if self.started is not None:
            return _start_of(self.pid) != self.started
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:  # it is there, and somebody else's
            return False
        return False


def _start_of(pid: int) -> int | None:
    """Return when a process of this machine started; None for one that has ended, or where the system does not say."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    # A zombie has ended; only its parent has not looked yet.
    return None if fields[0] in "ZX" else int(fields[_START_FIELD])


def _boot() -> str:
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink(_PROC / 'self/ns/pid')}"
    except OSError:
        return ""
