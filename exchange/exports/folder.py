"""New folders of data sets, which are whole or not there."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from molbuffer.exchange.errors import ExportError


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Give a folder beside a path, which takes its name when all went well, and else is removed.

    Raises:
        ExportError: there is something at the path, or no folder for it.
    """
    out = out.absolute()
    if out.exists() or out.is_symlink():
        raise ExportError(f"there is something at {out} already: name a new folder for the data set")
    if not out.parent.is_dir():
        raise ExportError(f"there is no folder {out.parent} for {out.name}: make it first")
    aside = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        (aside / "files").mkdir()
        yield aside / "files"
        (aside / "files").rename(out)
    finally:
        shutil.rmtree(aside)
