"""The work of an offline training, which learns from stored samples alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from molbuffer.flows.campaign import (
    Watch,
    campaign_run,
    check_rows,
    current_run_id,
    offline_condition,
    prepare_offline,
    progress_bar,
    read_settings,
    relabel_first,
    run_logs,
)
from molbuffer.flows.settings import OFFLINE
from molbuffer.lab import check_snapshot, opened_rows, rows_of_run, run_offline_training
from molbuffer.storage import ArchiveLimits, RunKind, SampleStore


def run_offline(
    config: str,
    store: str,
    *,
    snapshot: int | None = None,
    where: str | None = None,
    run_id: str | None = None,
    sources: Sequence[str] = (),
    archive_limit_bytes: int = ArchiveLimits.bytes,
    device: str | None = None,
    watch: Watch | None = None,
) -> dict[str, Any]:
    """Do the work of the flow ``train_offline``, and return its result.

    The flow describes the arguments; ``watch`` is called after each iteration.
    """
    settings, run = read_settings(config, OFFLINE), run_id or current_run_id()
    condition = offline_condition(settings, where)
    check_snapshot(snapshot, sources, settings.offline.judging)
    open_store = SampleStore.open_or_create if sources else SampleStore.open
    with (
        open_store(Path(store)) as sample_store,
        opened_rows(sample_store, sources, ArchiveLimits(archive_limit_bytes)) as opened,
    ):
        rows = rows_of_run(sample_store, run, opened)
        check_rows(settings=settings, store=sample_store, run_id=run, rows=rows, where=condition, snapshot=snapshot)
        scored = relabel_first(
            settings=settings, store=sample_store, run_id=run, rows=rows, where=condition, device=device
        )
        chosen = settings.model_dump(mode="json")["offline"]["selection"]
        selection = rows.record({"selection": chosen, "where": condition})
        with (
            run_logs(settings, sample_store) as logs,
            campaign_run(
                settings,
                sample_store,
                RunKind.OFFLINE,
                run,
                snapshot=snapshot,
                selection=selection,
                device=device,
            ) as campaign,
        ):
            logs.follow(campaign.run_id)
            training = prepare_offline(campaign, condition, rows)
            with progress_bar(f"training {settings.campaign.name} offline", watch) as report:
                policy, found, ended = run_offline_training(campaign.context, training, scored, report)
            loader = training.loader
            return {
                "run_id": campaign.run_id,
                "store": store,
                "policy": policy.sha256,
                "iterations": loader.iteration,
                "ended": ended,
                "rows": len(loader.buffer.index),
                "snapshot": loader.buffer.snapshot,
                "report": found.as_dict(),
            }
