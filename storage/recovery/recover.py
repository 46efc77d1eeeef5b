"""Make the catalog of a store anew, or restore a backup of it: what ``molbuffer recover`` does.

    journal   the catalog as it was: every snapshot, with the files that the journal says it added (``catalog.journal``)
    backup    the newest backup that maintenance made, and what was committed since
    files     what the Parquet files have, each fact once (``recovery.salvage``); older snapshots cannot be read

The first that there is serves as the base. Where it says nothing of a Parquet file, or a file that it names is gone or
damaged, the rows of the other files are added to it. Nothing is overwritten: the new catalog is made aside, that which
was there is moved to ``backups/lost-…``, and no other file of the store is touched.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from uuid import uuid4

from molbuffer.storage.archive import is_archive
from molbuffer.storage.backends import CatalogPlace, SqliteBackend
from molbuffer.storage.boundary import boundary
from molbuffer.storage.catalog import (
    LOST,
    TABLES,
    Catalog,
    Journal,
    JournalContent,
    JournalEntry,
    ParquetFolder,
    RegisteredFile,
    create_schema,
    drop_files,
    find_parquet,
    register,
    renumber,
    rolling_backups,
)
from molbuffer.storage.description import Description
from molbuffer.storage.errors import (
    MaintenanceBusyError,
    RecoveryError,
    StoreBusyError,
    StoreError,
    StoreFormatError,
    StoreNotFoundError,
)
from molbuffer.storage.files import (
    CHECKSUMS_KEY,
    PRIVATE_FILE,
    PRIVATE_FOLDER,
    Place,
    Sync,
    delete,
    sync_paths,
    write_private,
)
from molbuffer.storage.layout import Layout
from molbuffer.storage.recovery.salvage import salvage
from molbuffer.storage.verify import VerifyReport, verify_store

_OF_CREATION = ("migrations", "commit_fence")
_WAIT_SECONDS = 30.0
_ASIDE = ".recovering-"
_REFERENCES = """SELECT max(snapshot) AS newest FROM (SELECT pinned_snapshot AS snapshot FROM {runs}
    UNION ALL SELECT snapshot FROM {checkpoints} UNION ALL SELECT snapshot FROM {archives})"""
# In a process of its own: a damaged catalog can end the process, or the engine, of whoever opens it.
_IS_SOUND = """
import sys
from contextlib import closing
from pathlib import Path
from molbuffer.storage.catalog import TABLES, Catalog
from molbuffer.storage.layout import Layout
layout = Layout(Path(sys.argv[1]), data_path=sys.argv[2])
with closing(Catalog(layout.catalog, read_only=True)) as catalog:
    answer = catalog.metadata("SELECT * FROM sqlite_query('METADATA', 'PRAGMA integrity_check')")
    newest = max(version.number for version in catalog.versions())
    there = all(files.columns for files in catalog.files(TABLES, newest).values())
    if answer != [("ok",)] or not there or newest != catalog.newest():
        sys.exit(1)
    print(catalog.identity() or "")
"""


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


@dataclass
class _Recovery:
    """A recovery in progress.

    Attributes:
        layout: of the store.
        aside: the folder in which the new catalog is made.
        uuid: the identity of the store.
        described: whether its store.toml is sound.
        files: the Parquet files that are there.
        lost: as in the report.
        notes: as in the report.
    """

    layout: Layout
    aside: Path
    uuid: str
    described: bool
    files: ParquetFolder
    lost: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def place(self) -> CatalogPlace:
        return CatalogPlace(SqliteBackend(self.aside / "catalog.sqlite"), self.layout.tables, self.layout.root)

    def from_journal(self, content: JournalContent) -> Catalog:
        """Return a new catalog with the snapshots of a journal."""
        entries = list(content.entries)
        if entries and not self._all_there(entries[-1]) and not entries[-1].rewritten:
            # It was never committed: what it wrote was removed by a vacuum, or never reached the disk.
            entries.pop()
        named = [
            (f"tables/main/{table}/{file.name}", table, file.partial_max, entry.snapshot)
            for entry in entries
            for table, files in entry.files.items()
            if table in TABLES and table not in _OF_CREATION
            for file in files
        ]
        for path, *_ in named:
            if path not in self.files.sound:
                self.lost[path] = self.files.damaged.get(path, "it is missing")
        files = [
            RegisteredFile(table, self.files.sound[path].place, number, partial_max)
            for path, table, partial_max, number in named
            if path in self.files.sound
        ]
        catalog = self._new_catalog()
        register(catalog, entries, files)
        if not content.complete:
            self.notes.append(f"{content.damaged} lines of the journal are damaged, or lines are missing")
        return catalog

    def from_backup(self, backup: Place) -> Catalog:
        """Return a copy of a backup, whose Parquet files may have been merged since."""
        write_private(self.aside / "catalog.sqlite", (backup / "catalog.sqlite").read_bytes())
        catalog = Catalog(self.place, read_only=False)
        catalog.set_identity(self.uuid)
        self.notes.append(f"the base is the backup {backup}")
        gone = sorted(self.known(catalog) - self.files.sound.keys())
        self.lost |= {path: self.files.damaged.get(path, "it is missing") for path in gone}
        if gone:
            drop_files(catalog, [path.rpartition("/")[2] for path in gone])
        return catalog

    def from_nothing(self) -> Catalog:
        """Return a new catalog without rows, whose snapshots have greater numbers than any that was named."""
        catalog = self._new_catalog()
        self.notes.append("snapshots from before the recovery cannot be read")
        return catalog

    def known(self, catalog: Catalog) -> set[str]:
        """Return the paths of the Parquet files that a catalog names."""
        found = catalog.files(TABLES, catalog.newest())
        return {f"tables/main/{table}/{place.name}" for table, files in found.items() for place in files.paths}

    def add_other_files(self, catalog: Catalog) -> dict[str, int]:
        """Add the rows of the Parquet files of which a catalog says nothing."""
        known = self.known(catalog)
        others = [
            file for path, file in self.files.sound.items() if path not in known and file.table not in _OF_CREATION
        ]
        return salvage(catalog, self.layout, others, "recovered from files") if others else {}

    def _all_there(self, entry: JournalEntry) -> bool:
        names = (f"tables/main/{table}/{file.name}" for table, files in entry.files.items() for file in files)
        return all(name in self.files.sound for name in names)

    def _new_catalog(self) -> Catalog:
        catalog = Catalog(self.place, read_only=False, create=True)
        create_schema(catalog)
        return catalog


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
    description, described = _description(root)
    layout = description.layout(root)
    if layout.backend != layout.sqlite:
        raise RecoveryError(
            f"the catalog of {root} is in Postgres ({layout.backend}): restore that schema from a backup of the "
            "database, made with pg_dump or by the server's own means. To go back to before a migration, "
            "`backups/schema-…/how-to-go-back.txt` in the store says how"
        )
    with boundary(root), _alone(layout), _aside(root) as aside:
        identity = None if layout.backend.lost() else _identity_of_sound(layout)
        if identity is not None and described and identity in ("", description.uuid) and not anyway:
            raise RecoveryError(
                f"the catalog of {root} is sound, and nothing was changed: `molbuffer verify` says what else is wrong"
            )
        if identity and not described:
            description = replace(description, uuid=identity)
        files = find_parquet(layout.tables, TABLES)
        work = _Recovery(layout, aside, description.uuid, described, files)
        if not described:
            work.notes.append("store.toml was missing or damaged, and was written anew")
        report = _recover(work, source, description, sync)
    return replace(report, verification=verify_store(root, quick=True))


def _recover(work: _Recovery, source: Source | None, description: Description, sync: Sync) -> RecoveryReport:
    """Make the catalog aside, and put it where the old one was."""
    layout = work.layout
    content = _journal(layout)
    backup = next(iter(rolling_backups(layout)), None)
    chosen = source or (Source.JOURNAL if content.entries else Source.BACKUP if backup else Source.FILES)
    if chosen is Source.JOURNAL:
        if not content.entries:
            raise RecoveryError(f"{layout.root} has no journal that can be read; leave the source out to take another")
        catalog = work.from_journal(content)
    elif chosen is Source.BACKUP:
        if backup is None:
            raise RecoveryError(f"{layout.root} has no backup that maintenance made; leave the source out")
        catalog = work.from_backup(backup)
    else:
        catalog = work.from_nothing()
    # DuckLake remembers what it read of its own tables.
    catalog.close()
    with closing(Catalog(work.place, read_only=False, sync=sync)) as catalog:
        salvaged: dict[str, int] = {}
        if chosen is not Source.JOURNAL or work.lost or not content.complete:
            salvaged = work.add_other_files(catalog)
        if chosen is Source.FILES:
            _number_after_all(catalog, content, len(work.files.sound))
        catalog.set_identity(description.uuid)
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


def _number_after_all(catalog: Catalog, content: JournalContent, files: int) -> None:
    """Give the only snapshot a number that none had, as far as anybody recorded one: each made a file at least."""
    named = catalog.read(_REFERENCES)["newest"][0].as_py() or 0
    number = max(named, content.newest, catalog.newest()) + files + 1
    created = int(datetime.now(UTC).timestamp() * 1e6)
    extras = [json.loads(version.extra) for version in catalog.versions() if version.extra]
    checksums = {path: sha256 for extra in extras for path, sha256 in extra.get(CHECKSUMS_KEY, {}).items()}
    provenance = {"recovery": "files", CHECKSUMS_KEY: checksums}
    renumber(catalog, JournalEntry(number, created, "molbuffer", "recovered from files", provenance))


def _journal(layout: Layout) -> JournalContent:
    try:
        return Journal(layout.journal, sync_paths).read()
    except FileNotFoundError:
        return JournalContent((), 0)


def _replace(work: _Recovery, description: Description, sync: Sync) -> Path | None:
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


def _description(root: Path) -> tuple[Description, bool]:
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


def _identity_of_sound(layout: Layout) -> str | None:
    """Return whose catalog is there, empty if it does not say; None when it is damaged."""
    command = [sys.executable, "-c", _IS_SOUND, str(layout.root), layout.data_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


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
