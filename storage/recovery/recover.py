"""Make the catalog of a store anew, or restore a backup of it: what ``molbuffer recover`` does.

    journal   the catalog as it was: every snapshot, with the files that the journal says it added (``from_journal``)
    backup    the newest backup that maintenance made, and what was committed since (``from_backup``)
    files     what the Parquet files have, each fact once (``from_files``, ``salvage``); older snapshots cannot be read

The first that there is serves as the base. Where it says nothing of a Parquet file, or a file that it names is gone or
damaged, the rows of the other files are added to it. Nothing is overwritten: the new catalog is made aside, that which
was there is moved to ``backups/lost-…``, and no other file of the store is touched.
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
    """What a catalog is made from."""

    JOURNAL = "journal"
    BACKUP = "backup"
    FILES = "files"


@dataclass(frozen=True)
class RecoveryReport:
    """What was recovered, and what could not be.

    Attributes:
        source: what the catalog was made from.
        snapshot: its newest snapshot.
        oldest: the oldest snapshot that can be read with rows; equal to ``snapshot`` when the others are lost.
        rows: how many rows each table has.
        salvaged: how many of them come from files of which the source said nothing, by table.
        lost: why each Parquet file that the source names, or that is there, could not be used, by path.
        unnamed: Parquet files that no snapshot has: left by writers that were killed, or merged into others.
        notes: what else a user should know.
        kept: the folder with the catalog that was there before; None when there was none.
        verification: what is wrong with the recovered store, from a quick look.
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
    """Make the catalog of a store anew, or restore a backup; the programs that use the store are to be ended first.

    Args:
        path: the folder of the store, also one that has lost its store.toml.
        source: what to make it from; None is the journal, else the newest backup, else the files.
        anyway: whether to do so although the catalog that is there is sound.
        sync: makes files and directories durable.

    Raises:
        StoreNotFoundError: there is nothing of a store.
        RecoveryError: the catalog is sound, or in Postgres, or the source that is asked for is not there.
        StoreFormatError: the store is of a newer release.
        StoreBusyError: others write to the store, or maintain it.
        StoreError: the disk refused; the store is as it was.
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
    """Make the catalog aside, and put it where the old one was."""
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
    # DuckLake remembers what it read of its own tables.
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
    """Move the old catalog away and the new one to its place; a kill leaves a store that can be recovered once more."""
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
    """Keep out those who write to a store and those who maintain it."""
    try:
        with layout.backend.maintainers().held(), layout.backend.writers(_WAIT_SECONDS).held():
            yield
    except StoreBusyError as error:
        raise MaintenanceBusyError(f"{error} End the programs that use {layout.root}, then try again") from error


@contextmanager
def _aside(root: Path) -> Iterator[Path]:
    """Give a folder for the new catalog, which is removed at the end, with those of recoveries that were killed."""
    for left in root.glob(f"{_ASIDE}*"):
        delete(left)
    folder = root / f"{_ASIDE}{uuid4().hex}"
    folder.mkdir(mode=PRIVATE_FOLDER)
    try:
        yield folder
    finally:
        delete(folder)
