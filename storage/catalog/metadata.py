"""Changes of DuckLake's own metadata, which make no snapshot: each is done under the commit lock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import pyarrow as pa

from molbuffer.storage.backends import quote, quote_name
from molbuffer.storage.catalog.catalog import Catalog


def change_metadata(catalog: Catalog, sql: str, parameters: Mapping[str, Any] | None = None) -> None:
    """Execute a statement of trusted SQL, in which ``METADATA`` stands as in ``Catalog.metadata``.

    Raises:
        CatalogUnavailableError: DuckDB refused the statement; nothing was changed.
    """
    with catalog.locked():
        catalog.metadata(sql, parameters)


def change_all_metadata(catalog: Catalog, statements: Sequence[tuple[str, pa.Table | None]]) -> None:
    """Execute statements of trusted SQL in one transaction.

    Args:
        catalog: of the store.
        statements: each with the rows that it names as ``given``, if it names any.

    Raises:
        CatalogUnavailableError: DuckDB refused one; nothing was changed.
    """
    with catalog.locked(), closing(catalog.cursor()) as cursor, catalog.rolled_back(cursor):
        cursor.execute("BEGIN TRANSACTION")
        for sql, given in statements:
            if given is not None:
                cursor.register("given", given)
            cursor.execute(catalog.metadata_sql(sql))
        cursor.execute("COMMIT")


def expire_versions(catalog: Catalog, versions: Sequence[int]) -> None:
    """Forget snapshots in one step. Files that no other snapshot has are listed for deletion, and stay.

    Raises:
        CatalogUnavailableError: DuckDB refused the statement; nothing was forgotten.
    """
    numbers = ", ".join(str(int(version)) for version in versions)
    with catalog.locked(), closing(catalog.cursor()) as cursor:
        expire = f"CALL ducklake_expire_snapshots({quote(catalog.alias)}, versions => [{numbers}])"
        catalog.run(cursor, expire)


def set_compression(catalog: Catalog, codec: str) -> None:
    """Set how every process compresses Parquet files from now on.

    Raises:
        CatalogUnavailableError: DuckDB refused it.
    """
    with catalog.locked(), closing(catalog.cursor()) as cursor:
        set_codec = f"CALL {quote_name(catalog.alias)}.set_option('parquet_compression', ?)"
        catalog.run(cursor, set_codec, parameters=[codec])
