"""The licence and the authors of an archive: from the command line, or else from the configurations of its runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from molbuffer.flows.errors import UsageError

if TYPE_CHECKING:
    from molbuffer.storage import ArchiveTerms, SampleStore


def archive_terms(
    store: SampleStore,
    runs: Sequence[str],
    licence: str | None,
    authors: Sequence[str] | None,
) -> ArchiveTerms:
    """Return the terms of an archive.

    Args:
        store: the store.
        runs: the runs of the archive, by the starts of their ids; empty for all.
        licence: the licence; None is that of the runs, if all of them state the same one.
        authors: the authors; None is those of all runs, in the order of the runs.

    Raises:
        UsageError: the licence or the name of an author is not valid.
    """
    from molbuffer.storage import ArchiveTerms

    tables = list(_campaigns(store, runs))
    stated = {table.get("license") for table in tables}
    if licence is None and len(stated) == 1:
        licence = stated.pop()
    if authors is None:
        authors = list(dict.fromkeys(name for table in tables for name in table.get("authors") or ()))
    try:
        return ArchiveTerms(licence, tuple(authors))
    except ValueError as error:
        raise UsageError(str(error)) from error


def _campaigns(store: SampleStore, runs: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """Yield the tables [campaign] of runs with a configuration, the oldest first."""
    ids = [store.run(run).run_id for run in runs]
    found = store.read_arrow(
        "SELECT config FROM {runs} AS runs WHERE len(?) = 0 OR list_contains(?, run_id) ORDER BY created, run_id",
        parameters=[ids, ids],
    )
    for config in found["config"].to_pylist():
        table = json.loads(config).get("campaign")
        if isinstance(table, dict):
            yield table
