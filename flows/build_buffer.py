"""build_buffer: fill the buffer once, with ``buffer_size`` molecules of each sampler, by Prefect tasks."""

from __future__ import annotations

from typing import Any

from prefect import flow

from molbuffer.lab import limit_threads


@flow(name="build_buffer", validate_parameters=False)
def build(config: str, store: str, run_id: str | None = None, device: str | None = None) -> dict[str, Any]:
    """Fill the buffer once, with ``buffer_size`` molecules of each sampler; each run draws other molecules.

    Args:
        config: the path of a TOML file, or the settings as JSON.
        store: the folder of the store; made when it does not exist.
        run_id: the run to resume; by default a new run, which a retry of this flow run resumes.
        device: the device to draw and learn on; by default that of the configuration.

    Returns:
        The result of the run: ``run_id``, ``store``, the numbers of rows ``drawn`` and ``kept``, ``pending`` (the
        number of rewards that wait until the backlog is scored), ``oracle_calls``,
        ``ended`` (the budget of oracle calls if it is used up), ``failed_scores`` (the number of scores that could not
        be computed) and ``builds`` (the receipts).

    Raises:
        FailedScoresError: the scores of more molecules failed than the campaign allows.
        EmptyBuildError: no molecule was kept.
    """
    limit_threads()
    # These modules import torch, which reads the settings of its threads once, when it is imported.
    from molbuffer.flows.tasks import made_by_tasks
    from molbuffer.flows.work import run_build

    return run_build(config, store, made_by_tasks, run_id=run_id, device=device)
