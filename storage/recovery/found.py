"""The remains of a store before its recovery: its description, and whether its catalog is sound."""

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

# It runs in a process of its own: a damaged catalog can end the process, or the engine, that opens it.
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
    """Return the description of a store, and whether it was read from a sound store.toml.

    Otherwise the description is that of the newest readable backup, or else a new one.

    Raises:
        StoreNotFoundError: the folder has neither a store.toml nor data nor a catalog.
        StoreFormatError: the store.toml is sound, but of a newer release.
    """
    try:
        return Description.read(root / "store.toml"), True
    except StoreNotFoundError:
        if not Layout(root).has_data() and Layout(root).backend.lost():
            raise
    except StoreFormatError as error:
        with contextlib.suppress(StoreFormatError):
            # The file can be read, so that the error means a newer release.
            Description.read(root / "store.toml", newest=sys.maxsize)
            raise error
    for backup in rolling_backups(Layout(root)):
        if isinstance(backup, Path):
            with contextlib.suppress(StoreError):
                return Description.read(backup / "store.toml"), False
    return Description(str(uuid4())), False


def identity_of_sound(layout: Layout) -> str | None:
    """Return the uuid of the store that a sound catalog belongs to, "" if it has none; None for a damaged catalog."""
    command = [sys.executable, "-c", _IS_SOUND, str(layout.root), layout.data_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None
