"""Transient errors: a task that failed with one is tried again.

    can pass     the catalog or its server failed (CatalogUnavailableError), or others held the lock (StoreBusyError)
                 a network, an object store or a file system failed (OSError), or an error of the store or of a policy's
                 files says that one did
    cannot       a full or read-only disk, a file that is missing or not ours to read: not within seconds
                 all other errors: a configuration, a module that cannot be imported, a wrong value, workers that died
                 again and again would be the same a second later

A run that ends with an error loses nothing: it can be resumed from the store.
"""

from __future__ import annotations

import errno

from molbuffer.samplers import SamplerError
from molbuffer.storage import CatalogUnavailableError, StoreBusyError, StoreError

_LASTING = (FileNotFoundError, FileExistsError, PermissionError, NotADirectoryError, IsADirectoryError)
_LASTING_NUMBERS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.ENAMETOOLONG})


def can_pass(error: object) -> bool:
    """Return whether another attempt, a moment later, may succeed."""
    if isinstance(error, OSError):
        return not isinstance(error, _LASTING) and error.errno not in _LASTING_NUMBERS
    if isinstance(error, (CatalogUnavailableError, StoreBusyError)):
        return True
    # Rooms report errors of the system as errors of their own.
    if isinstance(error, (StoreError, SamplerError)) and isinstance(error.__cause__, OSError):
        return can_pass(error.__cause__)
    return False
