"""A build of the buffer: ``buffer_size`` molecules of each sampler."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from molbuffer.flows.campaign import campaign_run, current_run_id, inform, present_stage, read_settings, run_logs, warn
from molbuffer.flows.tasks import Maker, build_requests, make_chunks, opened_workers
from molbuffer.lab import check_kept, publish_latents
from molbuffer.storage import Event, RunKind, SampleStore


def run_build(
    config: str, store: str, maker: Maker, *, run_id: str | None = None, device: str | None = None
) -> dict[str, Any]:
    """Do the work of the flow ``build``, and return its result.

    Args:
        config: the path of a TOML file, or the settings as JSON.
        store: the folder of the store.
        maker: returns the function that makes the chunks of the campaign.
        run_id: the run to resume; by default a new run.
        device: the device to draw on; by default that of the configuration.
    """
    settings = read_settings(config)
    with (
        SampleStore.open_or_create(Path(store)) as sample_store,
        run_logs(settings, sample_store) as logs,
        opened_workers(settings.runner) as workers,
        campaign_run(settings, sample_store, RunKind.BUILD, run_id or current_run_id(), device=device) as campaign,
    ):
        logs.follow(campaign.run_id)
        campaign = replace(present_stage(campaign), workers=workers)
        samplers = campaign.samplers(lambda: campaign.start, lambda: 0)
        latents = publish_latents(samplers, sample_store, campaign.run_id)
        failures = campaign.failures()
        requests = build_requests(campaign, 0, campaign.start.sha256, latents=latents)
        receipts = make_chunks(requests, maker(campaign), failures)
        failures.end()
        check_kept(campaign.context, receipts, warn)
        failed = campaign.context.failed_scores
        calls = campaign.context.calls(settings.campaign.max_oracle_calls)
        calls.read(0, Event.SAMPLE_BATCH)
        ended = f"{calls.count} oracle calls" if calls.used_up else None
        sample_store.note_ending(campaign.run_id, ended)
        waiting = sum(each.rows for each in sample_store.count_pending(campaign.run_id))
        if waiting:
            inform(f"{waiting} rewards are pending; to compute them: molbuffer score-pending --store {store}")
    return {
        "run_id": campaign.run_id,
        "store": store,
        "drawn": sum(receipt.drawn for receipt in receipts),
        "kept": sum(receipt.kept for receipt in receipts),
        "pending": waiting,
        "oracle_calls": calls.count,
        "ended": ended,
        "failed_scores": failed,
        "builds": [receipt.to_json() for receipt in receipts],
    }
