"""What of a store a statement can need, told by its words: fewer views are made, and fewer files looked at.

Views over all files of a store take longer to make than most statements to answer. A guess never changes an answer: a
name that is not among the words of a statement is not there, so that a statement which needs it after all, since it
puts names together, fails and is executed with all names.
"""

from __future__ import annotations

import re

from molbuffer.storage.catalog import QUERYABLE_TABLES, VIEWS, read_by

EVERYTHING = (*QUERYABLE_TABLES, *VIEWS)
"""All tables and views that people may query."""

_WORD = re.compile(r"\w+")
# What these list depends on which tables and views there are.
_LISTING = frozenset({"show", "information_schema", "sqlite_master", "sqlite_schema"})
_LISTING_PREFIXES = ("duckdb_", "pg_", "pragma_", "sqlite_temp")


def needed_by(sql: str) -> tuple[str, ...]:
    """Return the tables and views that a statement can need, each view after those that it reads."""
    words = set(_WORD.findall(sql.lower()))
    listing = words & _LISTING or any(word.startswith(_LISTING_PREFIXES) for word in words)
    named = () if listing else [name for name in EVERYTHING if name in words]
    read = {each for name in named for each in (read_by(name) if name in VIEWS else (name,))}
    return tuple(name for name in EVERYTHING if name in read) or EVERYTHING
