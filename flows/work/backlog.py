"""Score the backlog of a store, on any host that has the store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from molbuffer.flows.campaign import backlogs_of_runs, warn
from molbuffer.lab import BacklogProgress, BacklogScorer
from molbuffer.storage import SampleStore

BATCH_ROWS = 256
"""The default number of rows that are claimed at once."""


def run_score_pending(
    store: str,
    *,
    run: str | None = None,
    watch: bool = False,
    batch: int = BATCH_ROWS,
    progress: Callable[[BacklogProgress], None] = lambda _: None,
) -> dict[str, Any]:
    """Do the work of the flow ``score_pending``, and return its result; ``progress`` gets the counts so far."""
    with SampleStore.open(Path(store)) as opened:
        run_id = None if run is None else opened.run(run).run_id
        find = backlogs_of_runs(opened)
        scorer = BacklogScorer(opened, find, run_id=run_id, watch=watch, batch=batch, progress=progress, warn=warn)
        return {"store": store, **asdict(scorer.run())}
