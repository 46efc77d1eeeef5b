"""Pauses between the steps of maintenance that hold the commit lock.

A process that waits for a file lock checks it every millisecond, and less often on a busy machine. Without a pause, the
next step would take the lock first each time: a commit waited 9 s for many steps, of which none took more than 2 s.
"""

from __future__ import annotations

import time

GAP_SHARE = 0.2


def give_way(held_seconds: float) -> None:
    """Wait for a share of the time for which a step held the lock, so that other processes can take it."""
    time.sleep(GAP_SHARE * held_seconds)
