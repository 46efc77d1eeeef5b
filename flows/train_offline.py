"""train_offline: training from stored samples alone. Nothing is built; only what ``[offline]`` asks for is scored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect import flow

from molbuffer.lab import limit_threads
from molbuffer.storage import ArchiveLimits


@flow(name="train_offline", validate_parameters=False)
def train_offline(
    config: str,
    store: str,
    snapshot: int | None = None,
    where: str | None = None,
    run_id: str | None = None,
    sources: Sequence[str] = (),
    archive_limit_bytes: int = ArchiveLimits.bytes,
    device: str | None = None,
) -> dict[str, Any]:
    """Train a policy, from the configuration's prior, on rows that earlier runs stored under its objective.

    Args:
        config: the path of a TOML file, or the settings as JSON; the ``[offline]`` table has the settings of this
        training.
        store: the folder of the store; the run and the trained policy go there.
        snapshot: the snapshot of the store to read; by default the present one. Other sources have none to choose.
        where: an SQL condition on ``sample_history``; by default that of the configuration.
        run_id: the run to resume; by default a new run, which a retry of this flow run resumes.
        sources: the paths of archives and stores to read the rows from, in the order of their rows; the store is then
            made if it does not exist. By default the rows are those of the store.
        archive_limit_bytes: the largest size of an archive, unpacked; a larger one is refused.
        device: the device to learn on; by default that of the configuration.

    Returns:
        The result of the run: ``run_id``, ``store``, ``policy`` (sha256 of the trained policy), ``iterations``,
        ``ended`` (why it ended before its last step; None if it did not), ``rows`` (the number of stored rows it could
        read), ``snapshot`` (the one it read, of the first source) and ``report`` (the policy beside its data, as
        ``OfflineReport``).
    """
    limit_threads()
    # These modules import torch, which reads the settings of its threads once, when it is imported.
    from molbuffer.flows.campaign import (
        campaign_run,
        check_rows,
        current_run_id,
        offline_condition,
        prepare_offline,
        progress_bar,
        read_settings,
        relabel_first,
    )
    from molbuffer.flows.settings import OFFLINE
    from molbuffer.lab import check_snapshot, opened_rows, rows_of_run, run_offline_training
    from molbuffer.storage import RunKind, SampleStore

    settings, run = read_settings(config, [OFFLINE]), run_id or current_run_id()
    condition = offline_condition(settings, where)
    check_snapshot(snapshot, sources, settings.offline.judging)
    open_store = SampleStore.open_or_create if sources else SampleStore.open
    with (
        open_store(Path(store)) as sample_store,
        opened_rows(sample_store, sources, ArchiveLimits(archive_limit_bytes)) as opened,
    ):
        rows = rows_of_run(sample_store, run, opened)
        check_rows(settings, sample_store, run, rows, condition, snapshot)
        scored = relabel_first(settings, sample_store, run, rows, condition, device)
        chosen = settings.model_dump(mode="json")["offline"]["selection"]
        selection = rows.record({"selection": chosen, "where": condition})
        with campaign_run(
            settings,
            sample_store,
            RunKind.OFFLINE,
            run,
            snapshot=snapshot,
            selection=selection,
            device=device,
        ) as campaign:
            training = prepare_offline(campaign, condition, rows)
            with progress_bar(f"training {settings.campaign.name} offline") as report:
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
