"""score_pending: score the rows of builds whose rewards are to come, by the objectives of their runs."""

from __future__ import annotations

import time
from typing import Any

from prefect import flow

from molbuffer.lab import limit_threads

SECONDS_BETWEEN_LINES = 60.0


@flow(name="score_pending", validate_parameters=False)
def score_pending(store: str, run: str | None = None, watch: bool = False, batch: int = 256) -> dict[str, Any]:
    """Score rows whose rewards are to come, and complete these; any number of hosts may do so at once.

    Args:
        store: the folder of the store.
        run: the id, or its start, of the only run whose rows are scored; by default every one.
        watch: go on when nothing is left, until the flow run is cancelled.
        batch: the most rows that are taken at once.

    Returns:
        ``store``, and the numbers of scores ``computed``, rewards ``completed``, rows ``failed``, scores ``lost``,
        rewards ``left`` that wait still, and molecules ``given_up``.

    Raises:
        BacklogError: no row could be scored here, or all scores were lost again and again.
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
            inform(f"{done.completed} rewards completed, {done.failed} failed; {done.left} wait still")

    return run_score_pending(store, run=run, watch=watch, batch=batch, progress=report)
