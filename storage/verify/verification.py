"""A verification in progress: the checked data, the thoroughness, and the collector of findings."""

from __future__ import annotations

from dataclasses import dataclass

from molbuffer.storage.catalog import Catalog, ReadableCatalog
from molbuffer.storage.layout import Layout
from molbuffer.storage.verify.report import Findings


@dataclass(frozen=True, kw_only=True)
class Look:
    """The arguments of a check of files that needs no catalog.

    Attributes:
        layout: the paths of the files.
        findings: the collector of findings.
        quick: whether to check names, sizes and descriptions only, without decoding arrays or hashing files.
    """

    layout: Layout
    findings: Findings
    quick: bool


@dataclass(frozen=True, kw_only=True)
class Verification(Look):
    """The arguments of a check of a store or archive.

    Attributes:
        catalog: the tables of the store or archive.
        snapshot: the snapshot that is checked.
    """

    catalog: ReadableCatalog
    snapshot: int


@dataclass(frozen=True, kw_only=True)
class StoreVerification(Verification):
    """The arguments of a check of a store, whose own catalog can be checked as well.

    Attributes:
        catalog: the catalog of the store.
    """

    catalog: Catalog
