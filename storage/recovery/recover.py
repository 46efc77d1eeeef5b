"""``molbuffer recover``: makes the catalog of a store anew, or restores a backup of it.

    journal   the catalog as it was: every snapshot, with the files that the journal says it added (``from_journal``)
    backup    the newest backup that maintenance made, and later commits (``from_backup``)
    files     the rows of the Parquet files, each fact once (``from_files``, ``salvage``); older snapshots are lost

The first of these sources that exists is the base. Where it does not name a Parquet file, or a file that it names is
missing or damaged, the rows of the files that it does not name are added. Nothing is overwritten: the new catalog is
made in a folder of its own, the old catalog is moved to ``backups/lost-…``, and no other file of the store is touched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from uuid import uuid4

from molbuffer.storage.archive import is_archive
from molbuffer.storage.boundary import boundary
from molbuffer.storage.catalog import LOST, TABLES, Catalog, find_parquet, rolling_backups, set_identity
from molbuffer.storage.description import Description
from molbuffer.storage.errors import MaintenanceBusyError, RecoveryError, StoreBusyError
from molbuffer.storage.files import PRIVATE_FILE, PRIVATE_FOLDER, Sync, delete, sync_paths
from molbuffer.storage.layout import Layout
from molbuffer.storage.recovery.attempt import Attempt
from molbuffer.storage.recovery.found import find_description, identity_of_sound
from molbuffer.storage.recovery.from_backup import from_backup
from molbuffer.storage.recovery.from_files import from_files, number_after_all
from molbuffer.storage.recovery.from_journal import from_journal, read_journal
from molbuffer.storage.verify import VerifyReport, verify_store

_WAIT_SECONDS = 30.0
_ASIDE = ".recovering-"


class Source(StrEnum):
    """The source from which a catalog is made."""

    JOURNAL = "journal"
    BACKUP = "backup"
    FILES = "files"


@dataclass(frozen=True)
class RecoveryReport:
    """The result of a recovery: which rows the new catalog has, and which files could not be used.

    Attributes:
        source: the source from which the catalog was made.
        snapshot: the newest snapshot.
        oldest: the oldest snapshot that can be read; equal to ``snapshot`` when the others are lost.
        rows: the number of rows of each table.
        salvaged: the number of rows from files that the source does not name, by table.
        lost: the reason why a Parquet file, found or named by the source, could not be used, by path.
        unnamed: the number of sound Parquet files in no snapshot: left by killed writers, or merged into other files.
        notes: further messages for the user.
        kept: the folder with the old catalog; None if there was none.
        verification: the problems of the recovered store, as a quick verification finds them.
    """

    source: Source
    snapshot: int
    oldest: int
    rows: Mapping[str, int]
    salvaged: Mapping[str, int]
    lost: Mapping[str, str]
    unnamed: int
    notes: tuple[str, ...]
    kept: Path | None
    verification: VerifyReport


def recover_store(
    path: str | Path, *, source: Source | None = None, anyway: bool = False, sync: Sync = sync_paths
) -> RecoveryReport:
    """Make the catalog of a store anew, or restore a backup; end the programs that use the store first.

    Args:
        path: the folder of the store, which may have lost its store.toml.
        source: the source of the new catalog; None means the journal, or else the newest backup, or else the files.
        anyway: whether to replace a sound catalog.
        sync: makes files and directories durable.

    Raises:
        StoreNotFoundError: the folder has nothing of a store.
        RecoveryError: the catalog is sound, or in Postgres, or the requested source does not exist.
        StoreFormatError: the store is of a newer release.
        MaintenanceBusyError: other processes write to the store or maintain it.
        StoreError: the disk refused; the store is unchanged.
    """
    root = Path(path).resolve()
    if is_archive(root):
        raise RecoveryError(f"{root} is an archive, which has no catalog: take another copy of it, or make it again")
    description, described = find_description(root)
    layout = description.layout(root)
    if layout.backend != layout.sqlite:
        raise RecoveryError(
            f"the catalog of {root} is in Postgres ({layout.backend}): restore that schema from a backup of the "
            "database, made with pg_dump or by the server's own means. To go back to before a migration, "
            "`backups/schema-…/how-to-go-back.txt` in the store says how"
        )
    with boundary(root), _alone(layout), _aside(root) as aside:
        identity = None if layout.backend.lost() else identity_of_sound(layout)
        if identity is not None and described and identity in ("", description.uuid) and not anyway:
            raise RecoveryError(
                f"the catalog of {root} is sound, and nothing was changed: `molbuffer verify` says what else is wrong"
            )
        if identity and not described:
            description = replace(description, uuid=identity)
        files = find_parquet(layout.tables, TABLES)
        work = Attempt(layout, aside, description.uuid, described, files)
        if not described:
            work.notes.append("store.toml was missing or damaged, and was written anew")
        report = _recover(work, source, description, sync)
    return replace(report, verification=verify_store(root, quick=True))


def _recover(work: Attempt, source: Source | None, description: Description, sync: Sync) -> RecoveryReport:
    """Make the new catalog in a folder of its own, and replace the old one by it."""
    layout = work.layout
    content = read_journal(layout)
    backup = next(iter(rolling_backups(layout)), None)
    chosen = source or (Source.JOURNAL if content.entries else Source.BACKUP if backup else Source.FILES)
    if chosen is Source.JOURNAL:
        if not content.entries:
            raise RecoveryError(f"{layout.root} has no journal that can be read; leave the source out to take another")
        catalog = from_journal(work, content)
    elif chosen is Source.BACKUP:
        if backup is None:
            raise RecoveryError(f"{layout.root} has no backup that maintenance made; leave the source out")
        catalog = from_backup(work, backup)
    else:
        catalog = from_files(work)
    # DuckLake caches the rows of its own tables, so that the catalog is opened anew after the changes.
    catalog.close()
    with closing(Catalog(work.place, read_only=False, sync=sync)) as catalog:
        salvaged: dict[str, int] = {}
        if chosen is not Source.JOURNAL or work.lost or not content.complete:
            salvaged = work.add_other_files(catalog)
        if chosen is Source.FILES:
            number_after_all(catalog, content, len(work.files.sound))
        set_identity(catalog, description.uuid)
    with closing(Catalog(work.place, read_only=False, sync=sync)) as catalog:
        catalog.rewrite_journal()
        known = work.known(catalog)
        rows = {table: catalog.read(f"SELECT count(*) AS n FROM {{{table}}}")["n"][0].as_py() for table in TABLES}
        versions = catalog.versions()
    if work.files.deletions:
        work.notes.append(f"{len(work.files.deletions)} files with deletions of another program were not applied")
    kept = _replace(work, description, sync)
    return RecoveryReport(
        source=chosen,
        snapshot=versions[-1].number,
        oldest=versions[0].number,
        rows=rows,
        salvaged={table: n for table, n in salvaged.items() if n},
        lost={**{p: why for p, why in work.files.damaged.items() if p not in known}, **work.lost},
        unnamed=len(work.files.sound.keys() - known),
        notes=tuple(work.notes),
        kept=kept,
        verification=VerifyReport(None, (), {}),
    )


def _replace(work: Attempt, description: Description, sync: Sync) -> Path | None:
    """Move the old catalog away and the new one to its place; after a kill, the store can be recovered again.

    Returns:
        The folder with the old catalog; None if there was none.
    """
    root, new = work.layout.root, work.aside / "catalog.sqlite"
    sync([new, work.aside])
    names = ["catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"]
    old = [root / name for name in names if (root / name).exists()]
    kept = root / "backups" / f"{LOST}{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}"
    kept.mkdir(mode=PRIVATE_FOLDER, parents=True)
    for path in old:
        path.rename(kept / path.name)
    new.rename(root / "catalog.sqlite")
    (root / "catalog.sqlite").chmod(PRIVATE_FILE)
    if work.layout.journal.exists():
        work.layout.journal.rename(kept / work.layout.journal.name)
    (work.aside / work.layout.journal.name).rename(work.layout.journal)
    if not work.described:
        if work.layout.description.exists():
            work.layout.description.rename(kept / work.layout.description.name)
        description.write(work.layout.description, sync)
    sync([kept, kept.parent, root])
    return kept if any(kept.iterdir()) else None


@contextmanager
def _alone(layout: Layout) -> Iterator[None]:
    """Hold the locks of a store, so that no other process writes to it or maintains it.

    Raises:
        MaintenanceBusyError: another process holds a lock for too long.
    """
    try:
        with layout.backend.maintainers().held(), layout.backend.writers(_WAIT_SECONDS).held():
            yield
    except StoreBusyError as error:
        raise MaintenanceBusyError(f"{error} End the programs that use {layout.root}, then try again") from error


@contextmanager
def _aside(root: Path) -> Iterator[Path]:
    """Give a folder for the new catalog, and remove it at the end; folders of killed recoveries are removed first."""
    for left in root.glob(f"{_ASIDE}*"):
        delete(left)
    folder = root / f"{_ASIDE}{uuid4().hex}"
    folder.mkdir(mode=PRIVATE_FOLDER)
    try:
        yield folder
    finally:
        delete(folder)
