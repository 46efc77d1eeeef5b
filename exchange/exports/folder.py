"""New folders of data sets: a folder appears complete or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from molbuffer.exchange.errors import ExportError


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes ``out`` on success; on an error, remove it and the parents made for it.

    Raises:
        ExportError: ``out`` exists already.
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
            # A folder that another process has begun to use is not empty, and stays.
            with suppress(OSError):
                folder.rmdir()
