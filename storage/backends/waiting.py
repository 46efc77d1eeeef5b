"""Waiting that is not silent: for a lock that another process holds, and for scores that another scorer computes."""

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
    """Take a lock, and say after a second for whom one waits.

    Args:
        what: the name of the lock.
        take: tries for some seconds, and returns whether it has the lock.
        seconds: after which to give up.
        holder: names who has the lock; None when that is not known.

    Raises:
        StoreBusyError: others had it all the time.
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
    """Return the process that holds the lock on a file, with its command; None where the system does not say.

    The file itself is not opened: closing it would give up locks that this process has on it.
    """
    try:
        number, lines = path.stat().st_ino, _LOCKS.read_text().splitlines()
        # locks(5): "1: FLOCK ADVISORY WRITE <pid> <major>:<minor>:<inode> 0 EOF"; who waits has an arrow before it.
        found = [line.split() for line in lines if "->" not in line]
        process = next(int(words[4]) for words in found if words[1] == "FLOCK" and words[5].endswith(f":{number}"))
        command = Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except (OSError, StopIteration, ValueError, IndexError):
        return None
    return f"process {process} ({command[:100]})"


@dataclass
class ClaimWait:
    """Says once in a while for whose claims a scorer waits.

    Attributes:
        claims: of the store.
        component: the component that is waited for.
        version: of the component.
        every_seconds: between two lines of the log.
        clock: in seconds.
    """

    claims: ScoreClaims
    component: str
    version: str
    every_seconds: float = 60.0
    clock: Callable[[], float] = time.monotonic
    _since: float | None = field(default=None, init=False)
    _said: float = field(default=0.0, init=False)

    def note(self, smiles: Collection[str]) -> bool:
        """Log that molecules are waited for, unless that was said a moment ago; return whether it was.

        To be called each time that the scorer finds molecules claimed by others.
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
