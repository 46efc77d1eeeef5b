"""A verification in progress: what is checked, how thoroughly, and where findings go."""

from __future__ import annotations

from dataclasses import dataclass

from molbuffer.storage.catalog import Catalog, ReadableCatalog
from molbuffer.storage.layout import Layout
from molbuffer.storage.verify.report import Findings


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a check of files is given that needs no catalog.

    Attributes:
        layout: where the files are.
        findings: where a check reports what it finds.
        quick: whether names, sizes and descriptions suffice: no array is decoded and no file is hashed.
    """

    layout: Layout
    findings: Findings
    quick: bool


@dataclass(frozen=True, kw_only=True)
class Verification(Look):
    """What every check of a verification is given.

    Attributes:
        catalog: the tables of the store or archive.
        snapshot: the snapshot that is checked.
    """

    catalog: ReadableCatalog
    snapshot: int


@dataclass(frozen=True, kw_only=True)
class StoreVerification(Verification):
    """The verification of a store, which has a catalog of its own to look into.

    Attributes:
        catalog: the catalog of the store.
    """

    catalog: Catalog
