"""The state of a recovery in progress, which the modules ``from_…`` read and extend."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from molbuffer.storage.backends import CatalogPlace, SqliteBackend
from molbuffer.storage.catalog import TABLES, Catalog, ParquetFolder, create_schema
from molbuffer.storage.layout import Layout
from molbuffer.storage.recovery.salvage import salvage

OF_CREATION = ("migrations", "commit_fence")
"""The tables whose rows are written when a catalog is created."""


@dataclass
class Attempt:
    """A recovery in progress.

    Attributes:
        layout: the paths of the store's files.
        aside: the folder in which the new catalog is made.
        uuid: the identity of the store.
        described: whether the store.toml of the store is sound.
        files: the Parquet files that were found.
        lost: as in ``RecoveryReport``.
        notes: as in ``RecoveryReport``.
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
        """The place of the new catalog."""
        return CatalogPlace(SqliteBackend(self.aside / "catalog.sqlite"), self.layout.tables, self.layout.root)

    def new_catalog(self) -> Catalog:
        """Return a new catalog without rows."""
        catalog = Catalog(self.place, read_only=False, create=True)
        create_schema(catalog)
        return catalog

    def known(self, catalog: Catalog) -> set[str]:
        """Return the paths of the Parquet files that a catalog names."""
        found = catalog.files(TABLES, catalog.newest())
        return {f"tables/main/{table}/{place.name}" for table, files in found.items() for place in files.paths}

    def why_unusable(self, path: str) -> str:
        """Return the reason why a Parquet file that is not sound cannot be used: its damage, or that it is missing."""
        return self.files.damaged.get(path, "it is missing")

    def add_other_files(self, catalog: Catalog) -> dict[str, int]:
        """Add the rows of the sound Parquet files that a catalog does not name; return how many, by table."""
        known = self.known(catalog)
        others = [
            file for path, file in self.files.sound.items() if path not in known and file.table not in OF_CREATION
        ]
        return salvage(catalog, self.layout, others, "recovered from files") if others else {}
