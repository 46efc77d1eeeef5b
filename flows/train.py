"""train: online training. Builds of the buffer are tasks; batches mix live and stored samples by ``p_batch``."""

from __future__ import annotations

from typing import Any

from prefect import flow

from molbuffer.lab import limit_threads


@flow(name="train", validate_parameters=False)
def train(config: str, store: str, run_id: str | None = None, device: str | None = None) -> dict[str, Any]:
    """Run a campaign: fill the buffer, train the policy, and store all that was drawn.

    Args:
        config: the path of a TOML file, or the settings as JSON.
        store: the folder of the store; made when it does not exist.
        run_id: the run to resume; by default a new run, which a retry of this flow run resumes.
        device: the device to draw and learn on; by default that of the configuration.

    Returns:
        The result of the run: ``run_id``, ``store``, ``policy`` (sha256 of the trained policy), ``iterations``,
        ``oracle_calls``, ``ended`` (why the run ended before the last iteration; None if it did not),
        ``failed_scores`` (the number of scores that could not be computed) and ``snapshot`` (the newest of the store);
        with several agents also ``agents`` (their runs).

    Raises:
        FailedScoresError: the scores of more molecules failed than the campaign allows.
    """
    limit_threads()
    # These modules import torch, which reads the settings of its threads once, when it is imported.
    from molbuffer.flows.tasks import task_builder
    from molbuffer.flows.work import run_online

    return run_online(config, store, task_builder, run_id=run_id, device=device)
