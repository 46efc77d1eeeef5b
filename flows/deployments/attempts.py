"""Limits on a scheduled run: retries that resume it, and an end after some hours, even if it hangs."""

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
"""The time before the first retry; the time doubles with each further one."""
GRACE_SECONDS = 120.0
"""The time that an overdue run has to end and be recorded, before its process ends."""
_OWN_PROCESS = "PREFECT__FLOW_RUN_ID"
"""The environment variable of a process that was started for a single flow run."""

T = TypeVar("T")


class OverdueError(TimeoutError):
    """A run has exceeded its limit of hours."""


def resumed_after_errors(
    work: Callable[[], T], retries: int, *, wait: Callable[[float], object] = time.sleep, first: float = SECONDS_BETWEEN
) -> T:
    """Return the result of ``work``, which is called again after a transient error, such as of a lock or a network.

    Args:
        work: does the work; a further call resumes its run.
        retries: the largest number of further calls.
        wait: waits for a number of seconds.
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
    """Interrupt the work in this context after a number of hours; its run can be resumed.

    A scorer in a call that never returns is not interrupted. If this process was started for a single flow run, it then
    ends ``GRACE_SECONDS`` later without cleaning up; the store stays consistent.

    Args:
        hours: the limit; None is no limit.

    Raises:
        OverdueError: the limit is exceeded.
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
            f"the run has not ended within {hours:g} hours; if it is not stuck, resume it with a larger limit"
        ) from error
    finally:
        watch.cancel()


def _end_process() -> None:
    os._exit(1)
