"""The references of tables, views and metrics, made of where they are defined."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from pieces import code, table

TABLES = """# Tables and views

`molbuffer query --store lab "SELECT …"`, and `lab.query` in Python, read these; [SQL](../how-to/query.md) says how.
Views first, since they join what belongs together: `sample_history` is the one to start with. Tables are append-only:
a change is a further row. Times are in UTC, hashes are sha256.
"""
METRICS = """# Metrics

The table `metrics` has a value for each name and iteration, and for metrics of a sampler also for its name and event:

```sh
molbuffer query --store lab "SELECT iteration, event, sampler, value FROM metrics WHERE name = 'new' ORDER BY ALL"
```

A value is null where it is undefined, such as a mean of nothing. [Losses](losses.md#metrics-of-each-step) has the
estimators of steps. The table `rewards` has the reward of a pair under an objective of its own, that of
`[contrastive]`; `sample_history` has the reward of the target.
"""


def columns() -> Mapping[str, list[tuple[str, str]]]:
    """Return the columns of every table and view that can be queried, with their types, as a store has them."""
    from molbuffer.storage import SampleStore
    from molbuffer.storage.catalog import QUERYABLE_TABLES, VIEWS

    with tempfile.TemporaryDirectory() as folder, SampleStore.create(Path(folder) / "store") as store:
        return {
            name: store.query("SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM " + name + ")").rows()  # noqa: S608
            for name in (*VIEWS, *QUERYABLE_TABLES)
        }


def tables_page() -> str:
    """Return the page of tables and views."""
    from molbuffer.storage.catalog import DESCRIPTIONS, VIEWS

    parts = [TABLES]
    for name, described in columns().items():
        if name == next(iter(VIEWS)):
            parts.append("## Views\n")
        elif name not in VIEWS and "## Tables\n" not in parts:
            parts.append("## Tables\n")
        description = DESCRIPTIONS[name]
        parts += [f"### {code(name)}\n", f"A row is: {_lowered(description.text)}\n"]
        rows = [[code(column), type_.lower(), description.columns[column]] for column, type_ in described]
        parts.append(table(["column", "type", ""], rows) + "\n")
    return "\n".join(parts)


def metrics_page() -> str:
    """Return the page of metrics."""
    from molbuffer.lab import METRIC_GROUPS

    parts = [METRICS]
    for group in METRIC_GROUPS:
        parts += [f"## {group.title}\n", group.text + "\n"]
        parts.append(table(["metric", ""], [[code(name), text] for name, text in group.metrics.items()]) + "\n")
    return "\n".join(parts)


def _lowered(text: str) -> str:
    return text[0].lower() + text[1:]
