"""What there still is of a store that is to be recovered: its description, and whether its catalog is sound."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

from molbuffer.storage.catalog import rolling_backups
from molbuffer.storage.description import Description
from molbuffer.storage.errors import StoreError, StoreFormatError, StoreNotFoundError
from molbuffer.storage.layout import Layout

# In a process of its own: a damaged catalog can end the process, or the engine, of whoever opens it.
_IS_SOUND = """
import sys
from contextlib import closing
from pathlib import Path
from molbuffer.storage.catalog import TABLES, Catalog, read_identity
from molbuffer.storage.layout import Layout
layout = Layout(Path(sys.argv[1]), data_path=sys.argv[2])
with closing(Catalog(layout.catalog, read_only=True)) as catalog:
    answer = catalog.metadata("SELECT * FROM sqlite_query('METADATA', 'PRAGMA integrity_check')")
    newest = max(version.number for version in catalog.versions())
    there = all(files.columns for files in catalog.files(TABLES, newest).values())
    if answer != [("ok",)] or not there or newest != catalog.newest():
        sys.exit(1)
    print(read_identity(catalog) or "")
"""


def find_description(root: Path) -> tuple[Description, bool]:
    """Return the description of a store, and whether its store.toml is sound: another is that of a backup, or new."""
    try:
        return Description.read(root / "store.toml"), True
    except StoreNotFoundError:
        if not Layout(root).has_data() and Layout(root).backend.lost():
            raise
    except StoreFormatError as error:
        with contextlib.suppress(StoreFormatError):
            # It is sound, and of a newer release.
            Description.read(root / "store.toml", newest=sys.maxsize)
            raise error
    for backup in rolling_backups(Layout(root)):
        if isinstance(backup, Path):
            with contextlib.suppress(StoreError):
                return Description.read(backup / "store.toml"), False
    return Description(str(uuid4())), False


def identity_of_sound(layout: Layout) -> str | None:
    """Return whose catalog is there, empty if it does not say; None when it is damaged."""
    command = [sys.executable, "-c", _IS_SOUND, str(layout.root), layout.data_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None
