"""Transient errors: a part of a build that failed with one is tried again, by Prefect or by the run itself.

    can pass     what ``storage.may_pass`` says: the catalog or its server failed, others held the lock, a network, an
                 object store or a file system failed; and an error of a policy's files for one of these reasons
    cannot       a full or read-only disk, a file that is missing or not ours to read: not within seconds
                 all other errors: a configuration, a module that cannot be imported, a wrong value, workers that died
                 again and again would be the same a second later; whatever a signal is at the root of

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
"""How often a part of a build is tried again."""
RETRY_DELAY_SECONDS = 1.0
"""The time before each of these attempts."""

Result = TypeVar("Result")


def can_pass(error: object) -> bool:
    """Return whether another attempt, a moment later, may succeed.

    Examples:
        >>> from molbuffer.storage import StoreBusyError
        >>> can_pass(StoreBusyError("another process holds the lock")), can_pass(ValueError("of a scorer"))
        (True, False)
    """
    # Rooms report errors of the system as errors of their own.
    passes = may_pass(error) or (
        isinstance(error, SamplerError) and isinstance(error.__cause__, OSError) and may_pass(error.__cause__)
    )
    return passes and not _ends_the_process(error)


def _ends_the_process(error: object) -> bool:
    """Return whether a signal is at the root of an error: libraries make another one of what its handler raises."""
    seen: set[int] = set()
    while isinstance(error, BaseException) and id(error) not in seen:
        if not isinstance(error, Exception):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


def tried_again(attempt: Callable[[int], Result], what: str, *, wait: Callable[[float], object] = time.sleep) -> Result:
    """Return the result of an attempt: the first, or one after errors that can pass, as Prefect does it for its tasks.

    Args:
        attempt: makes the attempt of a number, from 1.
        what: the name of what is attempted, for the warning about each error.
        wait: waits so many seconds; a true result means that the run has ended meanwhile, and no attempt is made.

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
