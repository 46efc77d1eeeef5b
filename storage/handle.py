"""An open store as the inner parts of this package use it for archives, merges, exports, indexes and checks.

``SampleStore`` is its public class. The modules below ``SampleStore`` take an ``OpenStore``, so that no module imports
upwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pyarrow as pa

from molbuffer.storage.backends import ScoreClaims
from molbuffer.storage.catalog import Catalog, ReadableCatalog
from molbuffer.storage.commits import find_run
from molbuffer.storage.errors import StoreModeError
from molbuffer.storage.files import Sync
from molbuffer.storage.layout import Layout
from molbuffer.storage.policies import PolicyStore
from molbuffer.storage.records import Run


@dataclass(frozen=True)
class OpenStore:
    """The parts of an open store, or of an archive.

    Attributes:
        layout: the paths of its files.
        uuid: the identity of the store, which a copy shares.
        catalog: its tables.
        policies: the policies whose weights the store keeps.
        claims: the claims of processes on the expensive scores that they compute.
        sync: makes files and directories durable.
        archive: whether the store is an archive.
        cache_key: the name of its decoded cache: the uuid of a store, or a name that follows from an archive's content.
    """

    layout: Layout
    uuid: str
    catalog: ReadableCatalog
    policies: PolicyStore
    claims: ScoreClaims
    sync: Sync
    archive: bool
    cache_key: str

    @classmethod
    def of(
        cls,
        layout: Layout,
        uuid: str,
        catalog: ReadableCatalog,
        sync: Sync,
        *,
        refusal: str | None = None,
        cache_key: str | None = None,
    ) -> Self:
        """Return an open store made of its parts.

        Args:
            layout: the paths of its files.
            uuid: the identity of the store.
            catalog: its tables.
            sync: makes files and directories durable.
            refusal: the error text for an attempt to write to an archive; None for a store.
            cache_key: the name of its decoded cache; None means the uuid.
        """
        policies = PolicyStore(
            layout.policies, read_only=catalog.read_only, sync=sync, refusal=refusal, check_there=catalog.check_there
        )
        claims = layout.backend.claims(refusal)
        return cls(
            layout=layout,
            uuid=uuid,
            catalog=catalog,
            policies=policies,
            claims=claims,
            sync=sync,
            archive=refusal is not None,
            cache_key=cache_key or uuid,
        )

    @property
    def path(self) -> Path:
        """The folder of the store."""
        return self.layout.root

    @property
    def read_only(self) -> bool:
        """Whether the store was opened for reading, or is an archive."""
        return self.catalog.read_only

    def writable(self) -> Catalog:
        """Return the catalog for writing.

        Raises:
            StoreModeError: the store was opened for reading, is a view of one snapshot, or is an archive.
        """
        if self.catalog.read_only or not isinstance(self.catalog, Catalog):
            raise StoreModeError(self.catalog.refusal)
        return self.catalog

    @property
    def is_writable(self) -> bool:
        """Whether the store can be written to, so that ``writable`` does not raise."""
        return isinstance(self.catalog, Catalog) and not self.catalog.read_only

    def snapshot(self) -> int:
        """Return the newest snapshot."""
        return self.catalog.newest()

    def run(self, run_id: str) -> Run:
        """Return the only run whose id is, or starts with, ``run_id``.

        Raises:
            UnknownRunError: there is none, or more than one.
        """
        return find_run(self.catalog, self.path, run_id)

    def read_arrow(
        self,
        sql: str,
        *,
        snapshot: int | None = None,
        parameters: Sequence[Any] | None = None,
        with_versions: bool = False,
        **tables: pa.Table,
    ) -> pa.Table:
        """Return the result of trusted SQL, as ``ReadableCatalog.read`` does."""
        return self.catalog.read(sql, snapshot, parameters, with_versions=with_versions, **tables)

    def read_batches(
        self,
        sql: str,
        *,
        snapshot: int | None = None,
        parameters: Sequence[Any] | None = None,
        with_versions: bool = False,
        **tables: pa.Table,
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows that ``read_arrow`` returns in batches of any size, in any order."""
        return self.catalog.read_batches(sql, snapshot, parameters, with_versions=with_versions, **tables)
