"""New folders of data sets, which are whole or not there."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from molbuffer.exchange.errors import ExportError


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Give a folder beside a path, which takes its name when all went well, and else is removed, with the folders
    above it that were made.

    Raises:
        ExportError: there is something at the path.
    """
    out = out.absolute()
    if out.exists() or out.is_symlink():
        raise ExportError(f"there is something at {out} already: name a new folder for the data set")
    made = [folder for folder in out.parents if not folder.exists()]
    out.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        (aside / "files").mkdir()
        yield aside / "files"
        (aside / "files").rename(out)
    finally:
        shutil.rmtree(aside)
        for folder in made:
            # One that is in use meanwhile stays, and so do those above it.
            with suppress(OSError):
                folder.rmdir()
