"""The SQL conditions of a configuration file, checked before there is a store that they could be applied to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from molbuffer.flows.settings.problems import Problem
from molbuffer.flows.settings.references import sampler_tables
from molbuffer.flows.settings.toml_lines import KeyPath


def refused_predicates(data: Mapping[str, Any]) -> Iterator[Problem]:
    """The conditions that cannot be applied to any history; what is no text is reported elsewhere."""
    for path, where in _conditions(data):
        # Only a file that has a condition pays for DuckDB.
        from molbuffer.storage.errors import QueryError
        from molbuffer.storage.query.sandbox import check_unapplied

        try:
            check_unapplied(where.strip())
        except QueryError as error:
            yield Problem(path, str(error))


def _conditions(data: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    """The texts of the conditions of offline training and of samplers of the history, also inside others."""
    tables: list[tuple[KeyPath, Any]] = [(("offline",), data.get("offline")), *sampler_tables(data)]
    for path, table in tables:
        where = table.get("where") if isinstance(table, Mapping) else None
        if isinstance(where, str) and where.strip():
            yield (*path, "where"), where
