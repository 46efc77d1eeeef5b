"""What holds a night's work within bounds: retries that resume, and an end after some hours, also of what hangs."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from molbuffer.flows.campaign import warn
from molbuffer.flows.tasks import can_pass

SECONDS_BETWEEN = 30.0
"""The time before the first retry; each further one waits twice as long as the one before."""
GRACE_SECONDS = 120.0
"""The time after the end of its hours in which a run may still unwind and be recorded."""
_OWN_PROCESS = "PREFECT__FLOW_RUN_ID"
"""The environment variable by which a process knows that it was started for one flow run alone."""

T = TypeVar("T")


class OverdueError(TimeoutError):
    """A run has taken more hours than it may."""


def resumed_after_errors(
    work: Callable[[], T], retries: int, *, wait: Callable[[float], object] = time.sleep, first: float = SECONDS_BETWEEN
) -> T:
    """Do the work, and again after an error that can pass, such as a lock or a network.

    Args:
        work: resumes its run when it is called again: what is stored counts once.
        retries: the most times that it is called again.
        wait: waits for some seconds.
        first: the seconds before the first retry.
    """
    for attempt in range(retries):
        try:
            return work()
        except Exception as error:
            if not can_pass(error):
                raise
            seconds = first * 2**attempt
            warn(f"{type(error).__name__}: {error}; the run is resumed in {seconds:.0f} s ({attempt + 1} of {retries})")
            wait(seconds)
    return work()


@contextmanager
def ended_after(hours: float | None) -> Iterator[None]:
    """End the work inside after some hours: it is interrupted, and can be resumed.

    A scorer in a call that never returns takes no notice of that. If this process was started for one flow run alone,
    it then ends without unwinding, which the store bears at every moment.

    Raises:
        OverdueError: the hours are over.
    """
    if hours is None:
        yield
        return
    from prefect.utilities.timeout import timeout

    seconds = hours * 3600
    watch = threading.Timer(seconds + GRACE_SECONDS, _end_process)
    watch.daemon = True
    if _OWN_PROCESS in os.environ:
        watch.start()
    try:
        with timeout(seconds, timeout_exc_type=OverdueError):
            yield
    except OverdueError as error:
        raise OverdueError(
            f"the run has not ended within {hours:g} hours; resume it with more, if it is not stuck"
        ) from error
    finally:
        watch.cancel()


def _end_process() -> None:
    os._exit(1)
