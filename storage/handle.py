"""An open store as the inner parts of this room see it: what archives, merges, exports, indexes and checks are made of.

``SampleStore`` is the public face of it. What is beneath takes this instead, so that nothing imports upwards.
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
        layout: where its files are.
        uuid: its identity, which a copy shares.
        catalog: its tables.
        policies: the policies whose weights it keeps.
        claims: who is computing which expensive score.
        sync: makes files and directories durable.
        archive: whether it is an archive.
        cache_key: the name of its decoded cache: its uuid, or of an archive a name that follows from its content.
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
        """Put a store together.

        Args:
            layout: where its files are.
            uuid: its identity.
            catalog: its tables.
            sync: makes files and directories durable.
            refusal: what an attempt to write to an archive is told; None for a store.
            cache_key: the name of its decoded cache; None is the uuid.
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
        """Whether it was opened for reading, or is an archive."""
        return self.catalog.read_only

    def writable(self) -> Catalog:
        """Return the catalog, to write to it.

        Raises:
            StoreModeError: the store was opened for reading, or is one snapshot of a store, or an archive.
        """
        if self.catalog.read_only or not isinstance(self.catalog, Catalog):
            raise StoreModeError(self.catalog.refusal)
        return self.catalog

    @property
    def is_writable(self) -> bool:
        """Whether ``writable`` has a catalog to return."""
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
        """Yield what ``read_arrow`` returns, a portion of rows at a time, of any size and in any order."""
        return self.catalog.read_batches(sql, snapshot, parameters, with_versions=with_versions, **tables)
