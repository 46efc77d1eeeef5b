"""Faster imports of torch and Prefect."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def first_imports() -> Iterator[None]:
    """Switch the garbage collector off while torch is imported, and exclude the imported objects from it afterwards.

    The modules have hundreds of thousands of objects, of which next to none is garbage. Scanning them repeatedly takes
    a sixth of the time of the imports, and as much again in a short run. If torch has been imported before, this
    context does nothing.
    """
    if "torch" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
