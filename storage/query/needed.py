"""The tables and views that a statement may need, found by its words, so that fewer views are made.

Making the views over all files of a store takes longer than most statements. A wrong guess never changes an answer: a
table that the words of a statement do not name does not exist for it, so that a statement which composes the name of a
table fails and is executed again with all tables and views.
"""

from __future__ import annotations

import re

from molbuffer.storage.catalog import QUERYABLE_TABLES, VIEWS, read_by

EVERYTHING = (*QUERYABLE_TABLES, *VIEWS)
"""All tables and views that users may query."""

_WORD = re.compile(r"\w+")
# Statements with these words list the tables and views, so that they need all of them.
_LISTING = frozenset({"show", "information_schema", "sqlite_master", "sqlite_schema"})
_LISTING_PREFIXES = ("duckdb_", "pg_", "pragma_", "sqlite_temp")


def needed_by(sql: str) -> tuple[str, ...]:
    """Return the tables and views that a statement can need, each view after those that it reads."""
    words = set(_WORD.findall(sql.lower()))
    listing = words & _LISTING or any(word.startswith(_LISTING_PREFIXES) for word in words)
    named = () if listing else [name for name in EVERYTHING if name in words]
    read = {each for name in named for each in (read_by(name) if name in VIEWS else (name,))}
    return tuple(name for name in EVERYTHING if name in read) or EVERYTHING
