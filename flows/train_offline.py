"""train_offline: training from stored samples alone. Nothing is drawn, built or scored."""

from __future__ import annotations

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
    archive: str | None = None,
    archive_limit_bytes: int = ArchiveLimits.bytes,
    device: str | None = None,
) -> dict[str, Any]:
    """Train a policy, from the configuration's prior, on rows that earlier runs stored under its objective.

    Args:
        config: the path of a TOML file, or the settings as JSON; the ``[offline]`` table has the settings of this
        training.
        store: the folder of the store; the run and the trained policy go there.
        snapshot: the snapshot of the store to read; by default the present one. An archive has one snapshot.
        where: an SQL condition on ``sample_history``; by default that of the configuration.
        run_id: the run to resume; by default a new run, which a retry of this flow run resumes.
        archive: the path of an archive to read the rows from; the store is then made if it does not exist. By
            default the rows are those of the store.
        archive_limit_bytes: the largest size of an archive, unpacked; a larger one is refused.
        device: the device to learn on; by default that of the configuration.

    Returns:
        The result of the run: ``run_id``, ``store``, ``policy`` (sha256 of the trained policy), ``iterations``,
        ``ended`` (why it ended before its last step; None if it did not), ``rows`` (the number of stored rows it could
        read) and ``snapshot`` (the one it read, of the archive if one was named).
    """
    if archive is not None and snapshot is not None:
        raise ValueError(f"an archive has one snapshot: leave snapshot {snapshot} out")
    limit_threads()
    # These modules import torch, which reads the settings of its threads once, when it is imported.
    from molbuffer.flows.campaign import (
        campaign_run,
        current_run_id,
        offline_condition,
        prepare_offline,
        progress_bar,
        read_settings,
    )
    from molbuffer.flows.settings import OFFLINE
    from molbuffer.lab import opened_rows, refuse_other_archive, run_training
    from molbuffer.storage import RunKind, SampleStore

    settings, run = read_settings(config, [OFFLINE]), run_id or current_run_id()
    condition = offline_condition(settings, where)
    open_store = SampleStore.open if archive is None else SampleStore.open_or_create
    with (
        open_store(Path(store)) as sample_store,
        opened_rows(sample_store, archive, ArchiveLimits(archive_limit_bytes)) as rows,
    ):
        refuse_other_archive(sample_store, run, rows)
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
            learner, loader = training.learner, training.loader
            with progress_bar(f"training {settings.campaign.name} offline") as report:
                ending = run_training(training, progress=report)
            return {
                "run_id": campaign.run_id,
                "store": store,
                "policy": learner.policy().sha256,
                "iterations": loader.iteration,
                "ended": None if ending is None else ending.reason,
                "rows": len(loader.buffer.index),
                "snapshot": loader.buffer.snapshot,
            }
