"""The number of torch's threads, and how they wait for each other.

Threads that share a tensor operation meet at a barrier after it. By default a thread that arrives early spins there for
milliseconds: this is fastest on an idle machine, but next to other work it occupies the core that the late thread
needs, so that a training takes many times as long. Here threads spin for some microseconds and then sleep, and their
number is at most the number of cores that the process may use (docs/design/0015-threads.md has the measurements).

The OpenMP library reads its variables once, when torch loads it. Therefore every process of molbuffer calls
``limit_threads`` before it imports torch: the command line, the tests, the flows and tasks of a Prefect worker, and a
lab in a process that has not imported torch. Child processes inherit the variables. Nothing here runs on import.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType

from molbuffer.scoring import allowed_cores, available_cores

MOST_THREADS = 4
"""The most threads; more gain little on the small matrices of a batch (docs/design/0015-threads.md)."""
SPINS = 1000
"""The turns of the waiting loop, some microseconds: longer than most waits at a barrier if every thread has a core."""

NUMBER_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
WAITING_VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def limit_threads(root: Path = Path("/")) -> None:
    """Set the number and the waiting of torch's threads in this process and its children, unless the user has set them.

    If torch is already imported, the waiting of threads cannot change any more: unless the user has set it, torch then
    gets one thread, which never waits. A number that the user has set by ``torch.set_num_threads`` stays.

    Args:
        root: the folder that holds ``proc`` and ``sys``.
    """
    number_is_set = any(name in os.environ for name in NUMBER_VARIABLES)
    waiting_is_set = any(name in os.environ for name in WAITING_VARIABLES)
    torch = sys.modules.get("torch")
    if not number_is_set:
        threads = min(available_cores(root), MOST_THREADS)
        if torch is not None:
            threads = _threads_now(torch, threads if waiting_is_set else 1)
        os.environ["OMP_NUM_THREADS"] = str(threads)
    if not waiting_is_set:
        # In GNU's OpenMP, which torch for Linux has, the count takes precedence; others know only the policy.
        os.environ |= {"GOMP_SPINCOUNT": str(SPINS), "OMP_WAIT_POLICY": "PASSIVE"}


def one_thread() -> None:
    """Limit this process, one of several that draw at the same time, to one thread of torch."""
    os.environ |= dict.fromkeys(NUMBER_VARIABLES, "1")
    if (torch := sys.modules.get("torch")) is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)


def _threads_now(torch: ModuleType, threads: int) -> int:
    """Set the number of threads of an imported torch, unless its user has changed it; return the number."""
    # The default is the number of cores that torch gets from MKL, which counts two hardware threads of a core as one.
    if torch.get_num_threads() in (allowed_cores(), allowed_cores() // 2):
        torch.set_num_threads(threads)
    return int(torch.get_num_threads())
