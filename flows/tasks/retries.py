"""Transient errors: a task that failed with one is tried again.

    can pass     what ``storage.may_pass`` says: the catalog or its server failed, others held the lock, a network, an
                 object store or a file system failed; and an error of a policy's files for one of these reasons
    cannot       a full or read-only disk, a file that is missing or not ours to read: not within seconds
                 all other errors: a configuration, a module that cannot be imported, a wrong value, workers that died
                 again and again would be the same a second later

A run that ends with an error loses nothing: it can be resumed from the store.
"""

from __future__ import annotations

from molbuffer.samplers import SamplerError
from molbuffer.storage import may_pass


def can_pass(error: object) -> bool:
    """Return whether another attempt, a moment later, may succeed."""
    # Rooms report errors of the system as errors of their own.
    return may_pass(error) or (
        isinstance(error, SamplerError) and isinstance(error.__cause__, OSError) and may_pass(error.__cause__)
    )
