"""Linear algebra on one thread.

The last bits of a factorisation depend on the number of threads, and a run may be resumed with another number of cores.
The matrices are small, too: one thread takes a tenth of a second for a fit, while two threads that wait for each other
on busy cores take twenty times as long.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import RLock

from threadpoolctl import ThreadpoolController

_LOCK = RLock()
"""The number of BLAS threads is global to the process: no thread may reset it while another still computes."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit numpy and scipy to one thread inside of this context; other threads wait for the end of the context."""
    with _LOCK, _controller().limit(limits=1):
        yield


@cache
def _controller() -> ThreadpoolController:
    # SciPy has a BLAS of its own, which the controller finds only after it is loaded.
    import scipy.linalg  # noqa: F401

    return ThreadpoolController().select(user_api="blas")
