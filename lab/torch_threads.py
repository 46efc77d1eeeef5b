"""The number of torch's threads, and how they wait for each other.

Threads that share a tensor operation meet at a barrier after it. By default one that arrives early spins there for
milliseconds: on an idle machine nothing is faster, and beside other work it takes the core that the late one needs, so
that a training takes many times as long. Here threads spin for some microseconds and then sleep, and there are no more
of them than the process may use cores (docs/design/0015-threads.md has the measurements).

The OpenMP library reads its variables once, when torch loads it. So whatever starts a process of ours calls
``limit_threads`` before torch is imported: the command line, the tests, and the flows and tasks that a Prefect worker
runs; and a lab does in a process that has not imported torch. Child processes inherit the variables. Nothing here runs
on import.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType

from molbuffer.scoring import allowed_cores, available_cores

MOST_THREADS = 4
"""More gain little on the small matrices of a batch: see docs/design/0015-threads.md."""
SPINS = 1000
"""Turns of the waiting loop, some microseconds: longer than most waits at a barrier when every thread has a core."""

NUMBER_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
WAITING_VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def limit_threads(root: Path = Path("/")) -> None:
    """Set the threads of torch in this process and in those that it starts, as far as the user has not.

    Where torch has been imported already, how threads wait cannot change any more: unless the user has set it, torch
    then gets one thread, which waits for no other. A number that the user gave to ``torch.set_num_threads`` stays.

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
        # torch for Linux comes with GNU's OpenMP, where the count goes before the policy; others know the policy only.
        os.environ |= {"GOMP_SPINCOUNT": str(SPINS), "OMP_WAIT_POLICY": "PASSIVE"}


def one_thread() -> None:
    """Let this process, one of several that draw at the same time, have one thread of torch."""
    os.environ |= dict.fromkeys(NUMBER_VARIABLES, "1")
    if (torch := sys.modules.get("torch")) is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)


def _threads_now(torch: ModuleType, threads: int) -> int:
    """Set the number of a torch that has been imported, unless it has another than it starts with; return it."""
    # MKL, which torch asks, takes two hardware threads of a core for one.
    if torch.get_num_threads() in (allowed_cores(), allowed_cores() // 2):
        torch.set_num_threads(threads)
    return int(torch.get_num_threads())
