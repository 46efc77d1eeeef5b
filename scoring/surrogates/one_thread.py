"""Linear algebra on one thread.

The result of a factorisation depends on the number of threads in its last bits, and a run may go on with other cores
than it began with. The matrices are small, too: one thread takes a tenth of a second for all of a fit, while two that
wait for each other on busy cores took twenty times as long.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import RLock

from threadpoolctl import ThreadpoolController

_LOCK = RLock()
"""The number of threads is one of the process: what sets it back must not do so while another still works."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Have numpy and scipy work on one thread, in this context; contexts of several threads wait for each other."""
    with _LOCK, _controller().limit(limits=1):
        yield


@cache
def _controller() -> ThreadpoolController:
    # Its BLAS is another than numpy's, and is found only when it is loaded.
    import scipy.linalg  # noqa: F401

    return ThreadpoolController().select(user_api="blas")
