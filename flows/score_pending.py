"""score_pending: score rows whose rewards are pending, by the objectives of their runs."""

from __future__ import annotations

import time
from typing import Any

from prefect import flow

from molbuffer.lab import limit_threads

SECONDS_BETWEEN_LINES = 60.0


@flow(name="score_pending", validate_parameters=False)
def score_pending(store: str, run: str | None = None, watch: bool = False, batch: int = 256) -> dict[str, Any]:
    """Score the rows whose rewards are pending, and store the rewards; several hosts may work on one store at once.

    Args:
        store: the folder of the store.
        run: the id of a run, or the start of the id: only its rows are scored; by default those of every run.
        watch: wait for more rows when none is left, until the flow run is cancelled.
        batch: the largest number of rows that are claimed at once.

    Returns:
        ``store``, and the numbers of scores ``computed``, rewards ``completed``, rows ``failed``, scores ``lost``,
        rewards ``left`` that are still pending, and molecules ``given_up``.

    Raises:
        BacklogError: this host can score none of the rows, or all scores were lost several times in a row.
    """
    limit_threads()
    # These modules import torch, which reads the settings of its threads once, when it is imported.
    from molbuffer.flows.campaign import inform
    from molbuffer.flows.work import run_score_pending
    from molbuffer.lab import BacklogProgress

    said = float("-inf")

    def report(done: BacklogProgress) -> None:
        nonlocal said
        if not done.left or time.monotonic() - said > SECONDS_BETWEEN_LINES:
            said = time.monotonic()
            inform(f"{done.completed} rewards completed, {done.failed} failed, {done.left} still pending")

    return run_score_pending(store, run=run, watch=watch, batch=batch, progress=report)
