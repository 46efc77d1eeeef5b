"""Waiting with log lines: for a lock that another process holds, and for scores that another scorer computes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from molbuffer.storage.backends.base import ScoreClaims
from molbuffer.storage.errors import StoreBusyError

SILENT_SECONDS = 1.0
_LOCKS = Path("/proc/locks")
_logger = logging.getLogger("molbuffer.storage.waiting")


def wait_for(what: str, take: Callable[[float], bool], seconds: float, holder: Callable[[], str | None]) -> None:
    """Take a lock, and log the holder of the lock after a second of waiting.

    Args:
        what: the name of the lock.
        take: a function that tries for some seconds to take the lock, and returns whether it succeeded.
        seconds: the time after which to give up, in seconds.
        holder: a function that returns a description of the holder; None if the holder is not known.

    Raises:
        StoreBusyError: other processes held the lock all the time.
    """
    if take(min(SILENT_SECONDS, seconds)):
        return
    if seconds > SILENT_SECONDS:
        _logger.warning("waiting up to %g s for %s, held by %s", seconds, what, holder() or _SOMEBODY)
        if take(seconds - SILENT_SECONDS):
            return
    raise StoreBusyError(
        f"{what} was held by {holder() or _SOMEBODY} for {seconds:g} s; end that program if it hangs, then try again"
    )


_SOMEBODY = "another process"


def file_holder(path: Path) -> str | None:
    """Return the process that holds the lock on a file, with its command; None if it is not known.

    The file itself is not opened: closing it would release the locks that this process has on it.
    """
    try:
        number, lines = path.stat().st_ino, _LOCKS.read_text().splitlines()
        # locks(5): "1: FLOCK ADVISORY WRITE <pid> <major>:<minor>:<inode> 0 EOF"; an arrow marks a waiting process.
        found = [line.split() for line in lines if "->" not in line]
        process = next(int(words[4]) for words in found if words[1] == "FLOCK" and words[5].endswith(f":{number}"))
        command = Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except (OSError, StopIteration, ValueError, IndexError):
        return None
    return f"process {process} ({command[:100]})"


@dataclass
class ClaimWait:
    """A log of the claims that a scorer waits for, at most one line in ``every_seconds``.

    Attributes:
        claims: the claims of the store.
        component: the name of the component whose scores are waited for.
        version: the version of the component.
        every_seconds: the least time between two lines of the log, in seconds.
        clock: a function that returns the time in seconds.
    """

    claims: ScoreClaims
    component: str
    version: str
    every_seconds: float = 60.0
    clock: Callable[[], float] = time.monotonic
    _since: float | None = field(default=None, init=False)
    _said: float = field(default=0.0, init=False)

    def note(self, smiles: Collection[str]) -> bool:
        """Log that a scorer waits for molecules, unless a line was logged shortly before.

        Call this each time that the scorer finds molecules claimed by other scorers.

        Args:
            smiles: the molecules that the scorer waits for.

        Returns:
            Whether a line was logged.
        """
        instant = self.clock()
        if self._since is None:
            self._since = self._said = instant
        if instant - self._said < self.every_seconds:
            return False
        self._said = instant
        held = self.claims.holders(self.component, self.version, sorted(smiles))
        owners = sorted({holder.name for holder in held.values()})
        _logger.warning(
            "waiting for %d scores of %r since %.0f s, claimed by %s; the claims end in %.0f s unless they are renewed",
            len(smiles),
            self.component,
            instant - self._since,
            ", ".join(owners[:5]) or "another scorer",
            max((holder.seconds for holder in held.values()), default=0.0),
        )
        return True
