"""Transient errors: a part of a build that failed with one is tried again, by Prefect or by the run itself.

    transient    errors for which ``storage.may_pass`` is true: the catalog or its server failed, another process held
                 the lock, a network, an object store or a file system failed; and errors of a policy's files that one
                 of these caused
    permanent    a full or read-only disk, a missing or unreadable file; all other errors, such as of a configuration,
                 an import, a wrong value, or workers that died repeatedly, which a retry a second later would repeat;
                 and any error that a signal caused

A run that ends with an error loses nothing: it can be resumed from the store.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from molbuffer.flows.campaign import warn
from molbuffer.samplers import SamplerError
from molbuffer.storage import may_pass

RETRIES = 2
"""The number of retries of a part of a build."""
RETRY_DELAY_SECONDS = 1.0
"""The time before each retry."""

Result = TypeVar("Result")


def can_pass(error: object) -> bool:
    """Return whether an error is transient, so that another attempt a moment later may succeed.

    Examples:
        >>> from molbuffer.storage import StoreBusyError
        >>> can_pass(StoreBusyError("another process holds the lock")), can_pass(ValueError("of a scorer"))
        (True, False)
    """
    # The package ``samplers`` raises errors of the operating system as errors of its own.
    passes = may_pass(error) or (
        isinstance(error, SamplerError) and isinstance(error.__cause__, OSError) and may_pass(error.__cause__)
    )
    return passes and not _ends_the_process(error)


def _ends_the_process(error: object) -> bool:
    """Return whether a signal caused an error; a library may replace the error that the signal handler raised."""
    seen: set[int] = set()
    while isinstance(error, BaseException) and id(error) not in seen:
        if not isinstance(error, Exception):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


def tried_again(attempt: Callable[[int], Result], what: str, *, wait: Callable[[float], object] = time.sleep) -> Result:
    """Return the result of the first attempt that succeeds, with retries after transient errors, as in Prefect's tasks.

    Args:
        attempt: makes an attempt, given its number from 1.
        what: the name of the part, for the warning about each error.
        wait: waits for a number of seconds; a true result means that the run has ended, and no retry is made.

    Raises:
        Exception: the error of the last attempt.
    """
    for number in range(1, RETRIES + 1):
        try:
            return attempt(number)
        except Exception as error:
            if not can_pass(error):
                raise
            again = f"is tried again in {RETRY_DELAY_SECONDS:g} s ({number} of {RETRIES})"
            warn(f"{what} failed, and {again}: {type(error).__name__}: {error}")
            if wait(RETRY_DELAY_SECONDS):
                raise
    return attempt(RETRIES + 1)
