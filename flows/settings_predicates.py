"""The SQL conditions of a configuration file, checked before there is a store that they could be applied to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flows.config_errors import Problem


def refused_predicates(data: Mapping[str, Any]) -> Iterator[Problem]:
    """The conditions that cannot be applied to any history; what is no text is reported elsewhere."""
    offline = data.get("offline")
    where = offline.get("where") if isinstance(offline, Mapping) else None
    if not isinstance(where, str) or not where.strip():
        return
    # Only a file that has a condition pays for DuckDB.
    from storage.errors import QueryError
    from storage.query import check_unapplied

    try:
        check_unapplied(where.strip())
    except QueryError as error:
        yield Problem(("offline", "where"), str(error))
