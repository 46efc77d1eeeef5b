"""A verification in progress: what is checked, how thoroughly, and where findings go."""

from __future__ import annotations

from dataclasses import dataclass

from molbuffer.storage.catalog import Catalog, ReadableCatalog
from molbuffer.storage.layout import Layout
from molbuffer.storage.verify.report import Findings


@dataclass(frozen=True)
class Verification:
    """What every check of a verification is given.

    Attributes:
        catalog: the tables of the store or archive.
        layout: where its files are.
        snapshot: the snapshot that is checked.
        findings: where a check reports what it finds.
        quick: whether names, sizes and descriptions suffice: no array is decoded and no file is hashed.
    """

    catalog: ReadableCatalog
    layout: Layout
    snapshot: int
    findings: Findings
    quick: bool


@dataclass(frozen=True)
class StoreVerification(Verification):
    """The verification of a store, which has a catalog of its own to look into.

    Attributes:
        catalog: the catalog of the store.
    """

    catalog: Catalog
