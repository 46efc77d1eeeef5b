"""build_buffer: fill the buffer once, with ``buffer_size`` molecules of each sampler, by Prefect tasks."""

from __future__ import annotations

from pathlib import Path
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
        The result of the run: ``run_id``, ``store``, the numbers of rows ``drawn`` and ``kept``, ``oracle_calls``,
        ``ended`` (the budget of oracle calls if it is used up), ``failed_scores`` (the number of scores that could not
        be computed) and ``builds``, the receipts.

    Raises:
        FailedScoresError: more molecules than the campaign allows have no reward, since their score failed.
        EmptyBuildError: no molecule was kept.
    """
    limit_threads()
    # These modules import torch, which reads the settings of its threads once, when it is imported.
    from molbuffer.flows.campaign import campaign_run, current_run_id, present_stage, read_settings, warn
    from molbuffer.flows.tasks import build_requests, run_build_tasks
    from molbuffer.lab import check_kept, publish_latents
    from molbuffer.storage import Event, RunKind, SampleStore

    settings = read_settings(config)
    with (
        SampleStore.open_or_create(Path(store)) as sample_store,
        campaign_run(settings, sample_store, RunKind.BUILD, run_id or current_run_id(), device=device) as campaign,
    ):
        campaign = present_stage(campaign)
        samplers = campaign.samplers(lambda: campaign.start, lambda: 0)
        latents = publish_latents(samplers, sample_store, campaign.run_id)
        failures = campaign.failures()
        receipts = run_build_tasks(build_requests(campaign, 0, campaign.start.sha256, latents=latents), failures)
        failures.end()
        check_kept(campaign.context, receipts, warn)
        failed = campaign.context.failed_scores
        calls = campaign.context.calls(settings.campaign.max_oracle_calls)
        calls.read(0, Event.SAMPLE_BATCH)
        ended = f"{calls.count} oracle calls" if calls.used_up else None
        sample_store.note_ending(campaign.run_id, ended)
    return {
        "run_id": campaign.run_id,
        "store": store,
        "drawn": sum(receipt.drawn for receipt in receipts),
        "kept": sum(receipt.kept for receipt in receipts),
        "oracle_calls": calls.count,
        "ended": ended,
        "failed_scores": failed,
        "builds": [receipt.to_json() for receipt in receipts],
    }
