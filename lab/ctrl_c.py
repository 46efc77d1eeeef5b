"""Ctrl-C reaches Python, also where RDKit works in several threads.

While RDKit matches substructures, embeds or assigns, it has a handler of its own for SIGINT in the process, and puts
the one before back when it is done. Of two threads, one takes the handler of the other for the one before: it stays,
and from then on Ctrl-C is swallowed, while ``signal.getsignal`` says that all is well (RDKit 2026.09; its issues 8576
and 9381 are of the same kind). Filters, descriptors and similarities match substructures, so that two threads which
filter or score are enough. Nothing in RDKit turns its handler off.
"""

from __future__ import annotations

import ctypes
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

LOOK_SECONDS = 0.25
"""The time between two looks: as long as Ctrl-C may be swallowed."""
_MOST_BYTES = 512  # More than a struct sigaction has on any system.


class _LibraryInfo(ctypes.Structure):
    """What ``dladdr`` says of an address (Dl_info)."""

    _fields_ = (
        ("file", ctypes.c_char_p),
        ("base", ctypes.c_void_p),
        ("symbol", ctypes.c_char_p),
        ("address", ctypes.c_void_p),
    )


class _Handler:
    """The handler of SIGINT as the system has it, in whatever language it is written."""

    def __init__(self) -> None:
        self._system = ctypes.CDLL(None)
        self._before: ctypes.Array[ctypes.c_char] | None = None

    def keep(self) -> None:
        """Put what was there at an earlier look back in place of RDKit's."""
        found = self._found()
        if not self._of_rdkit(found):
            self._before = found
        elif self._before is not None:
            self._system.sigaction(signal.SIGINT, self._before, None)

    def is_of_rdkit(self) -> bool:
        """Return whether Ctrl-C is swallowed at this moment."""
        return self._of_rdkit(self._found())

    def _found(self) -> ctypes.Array[ctypes.c_char]:
        found = ctypes.create_string_buffer(_MOST_BYTES)
        self._system.sigaction(signal.SIGINT, None, found)
        return found

    def _of_rdkit(self, found: ctypes.Array[ctypes.c_char]) -> bool:
        # The address comes first in the structure.
        info = _LibraryInfo()
        known = self._system.dladdr(ctypes.c_void_p.from_buffer(found), ctypes.byref(info))
        return bool(known) and b"rdkit" in (info.file or b"").lower()


@contextmanager
def kept_ctrl_c() -> Iterator[None]:
    """Have Ctrl-C reach Python for the time of a block, in which threads may use RDKit.

    In the main thread, a handler of RDKit's that an earlier use has left is put away first.
    """
    handler = _Handler()
    if threading.current_thread() is threading.main_thread() and handler.is_of_rdkit():
        # What Python says it is, it is again.
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
