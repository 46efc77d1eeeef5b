"""A guard of Ctrl-C, which keeps it working while RDKit runs in several threads.

While RDKit matches substructures, embeds or assigns, it installs a handler of SIGINT in the process, and then restores
the previous handler. If two threads do so at once, one restores the handler of the other: this handler stays and
swallows Ctrl-C, while ``signal.getsignal`` still returns that of Python (RDKit 2026.09; its issues 8576 and 9381 are of
the same kind). Filters, descriptors and similarities match substructures, so that two threads which filter or score are
enough. RDKit has no option to turn its handler off.
"""

from __future__ import annotations

import ctypes
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

LOOK_SECONDS = 0.25
"""The time between two checks, in seconds: the longest time for which Ctrl-C may be swallowed."""
_MOST_BYTES = 512  # More than a struct sigaction has on any system.


class _LibraryInfo(ctypes.Structure):
    """The C structure Dl_info, in which ``dladdr`` returns the library of an address."""

    _fields_ = (
        ("file", ctypes.c_char_p),
        ("base", ctypes.c_void_p),
        ("symbol", ctypes.c_char_p),
        ("address", ctypes.c_void_p),
    )


class _Handler:
    """The handler of SIGINT of the process at the level of the system, which may be in C."""

    def __init__(self) -> None:
        self._system = ctypes.CDLL(None)
        self._before: ctypes.Array[ctypes.c_char] | None = None

    def keep(self) -> None:
        """Replace a handler of RDKit by the last handler that was not of RDKit."""
        found = self._found()
        if not self._of_rdkit(found):
            self._before = found
        elif self._before is not None:
            self._system.sigaction(signal.SIGINT, self._before, None)

    def is_of_rdkit(self) -> bool:
        """Return whether the present handler is of RDKit, which swallows Ctrl-C."""
        return self._of_rdkit(self._found())

    def _found(self) -> ctypes.Array[ctypes.c_char]:
        found = ctypes.create_string_buffer(_MOST_BYTES)
        self._system.sigaction(signal.SIGINT, None, found)
        return found

    def _of_rdkit(self, found: ctypes.Array[ctypes.c_char]) -> bool:
        # The address of the handler is the first field of the structure.
        info = _LibraryInfo()
        known = self._system.dladdr(ctypes.c_void_p.from_buffer(found), ctypes.byref(info))
        return bool(known) and b"rdkit" in (info.file or b"").lower()


@contextmanager
def kept_ctrl_c() -> Iterator[None]:
    """A context in which Ctrl-C reaches Python although threads use RDKit.

    In the main thread, it first removes a handler that an earlier use of RDKit has left.
    """
    handler = _Handler()
    if threading.current_thread() is threading.main_thread() and handler.is_of_rdkit():
        # Install the handler again that Python takes for the present one.
        signal.signal(signal.SIGINT, signal.getsignal(signal.SIGINT))
    handler.keep()
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(LOOK_SECONDS):
            handler.keep()

    threading.Thread(target=look, name="ctrl-c", daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        handler.keep()
