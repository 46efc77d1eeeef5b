"""The imports of torch and Prefect, of which a command is to take as little time as it can."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def first_imports() -> Iterator[None]:
    """Collect no garbage while torch is imported, nor go over what has been imported afterwards.

    The modules have hundreds of thousands of objects, of which next to none is garbage. To go over them again and again
    takes a sixth of the time of the imports, and as much in a short run. Where torch has been imported before, this
    does nothing.
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
