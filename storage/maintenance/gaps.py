"""Gaps between the steps of maintenance that hold the commit lock.

Who waits for a lock in a file looks for it every millisecond, and on a busy machine later. A step that began as soon as
the one before has ended would be first each time: a commit waited 9 s, for many steps, where none took more than 2 s.
"""

from __future__ import annotations

import time

GAP_SHARE = 0.2


def give_way(held_seconds: float) -> None:
    """Wait for a part of the time that a step held the lock: on a busy machine both are longer."""
    time.sleep(GAP_SHARE * held_seconds)
