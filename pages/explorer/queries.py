"""The query box: it runs one SELECT statement of a reader in the sandbox of ``molbuffer query``, with limits."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import polars as pl

from molbuffer.pages.explorer import html
from molbuffer.storage import SampleStore, StoreError

SECONDS = 60.0
MEMORY = "512MB"
SHOWN = 200
EXAMPLE = (
    "SELECT run_name, sampler, count(*) AS rows, avg(reward) AS reward\nFROM sample_history GROUP BY ALL ORDER BY ALL"
)


@dataclass(frozen=True)
class Answer:
    """The result of a query.

    Attributes:
        rows: the rows; None after an error.
        error: the error; empty without one.
        seconds: the time of the query.
    """

    rows: pl.DataFrame | None = field(repr=False)
    error: str
    seconds: float

    def html(self) -> str:
        """Return the first rows as a table, or the error, as HTML."""
        if self.rows is None:
            return html.block(html.error(self.error))
        count = f"{len(self.rows):,} rows" if len(self.rows) != 1 else "1 row"
        shown = f", of which {SHOWN} are shown" if len(self.rows) > SHOWN else ""
        caption = f"{count}{shown}, in {self.seconds:.1f} s"
        return html.block(html.table(caption, self.rows.columns, self.rows.head(SHOWN).rows()))

    def csv(self) -> bytes:
        """Return all rows as CSV; lists and structures are written as texts. Empty after an error."""
        if self.rows is None:
            return b""
        nested = [name for name, kind in self.rows.schema.items() if kind.is_nested() or kind == pl.Binary]
        texts = [pl.Series(name, [None if each is None else str(each) for each in self.rows[name].to_list()], pl.String)
                 for name in nested]  # fmt: skip
        return self.rows.with_columns(texts).write_csv().encode()


def run_query(store: SampleStore, sql: str, snapshot: int) -> Answer:
    """Return the result of a query over a snapshot, or its error; a wrong query raises nothing."""
    began = time.monotonic()
    try:
        rows = store.query(sql, snapshot=snapshot, timeout_seconds=SECONDS, memory_limit=MEMORY)
    except StoreError as error:
        return Answer(None, str(error), time.monotonic() - began)
    return Answer(rows, "", time.monotonic() - began)
