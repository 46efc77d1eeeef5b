"""train_offline: training from stored samples alone. Nothing is drawn, built or scored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from prefect import flow

from molbuffer.flows.campaign.assemble import build_selection
from molbuffer.flows.campaign.campaign import Campaign, campaign_run, read_settings
from molbuffer.flows.campaign.offline_rows import OfflineRows, offline_rows, refuse_other_archive
from molbuffer.flows.campaign.progress import progress_bar
from molbuffer.flows.campaign.provenance import current_run_id
from molbuffer.flows.campaign.training import Training, resume, step_settings
from molbuffer.flows.settings.settings import Settings
from molbuffer.flows.tasks.torch_threads import limit_threads
from molbuffer.samplers.builds.seen import SeenMolecules
from molbuffer.storage import SampleStore
from molbuffer.storage.archive.manifest import ArchiveLimits
from molbuffer.storage.records import RunKind
from molbuffer.training.batches.buffer import Buffer, BufferView
from molbuffer.training.batches.loader import BatchPlan, MixedLoader
from molbuffer.training.fit.history_writer import HistoryWriter
from molbuffer.training.fit.learner import Learner, StepSettings
from molbuffer.training.fit.loop import fit
from molbuffer.training.losses import LOSSES


@flow(name="train_offline", validate_parameters=False)
def train_offline(
    config: str,
    store: str,
    snapshot: int | None = None,
    where: str | None = None,
    run_id: str | None = None,
    archive: str | None = None,
    archive_limit_bytes: int = ArchiveLimits.bytes,
) -> dict[str, Any]:
    """Trains a policy, from the configuration's prior, on rows that earlier runs stored under its objective.

    Args:
        config: the path of a TOML file, or the settings as JSON; the ``[offline]`` table says how.
        store: the folder of the store; the run and the trained policy go there.
        snapshot: the version of the store to read; by default the present one. An archive has one version.
        where: an SQL condition on ``sample_history``; by default that of the configuration.
        run_id: a run to go on with; by default a new run, which a retry of this flow run resumes.
        archive: the path of an archive to read the rows from; the store is made if it does not exist. By default they
            are those of the store.
        archive_limit_bytes: an archive that takes more is refused.

    Returns:
        What became of the run: ``run_id``, ``policy`` (sha256 of the trained policy), ``iterations``, ``rows`` (stored
        rows it could read) and ``snapshot`` (that it read, of the archive if one was named).
    """
    if archive is not None and snapshot is not None:
        raise ValueError(f"an archive has one version: leave snapshot {snapshot} out")
    limit_threads()
    settings, run = read_settings(config), run_id or current_run_id()
    condition = where or settings.offline.where
    open_store = SampleStore.open if archive is None else SampleStore.open_or_create
    with (
        open_store(Path(store)) as sample_store,
        offline_rows(sample_store, archive, ArchiveLimits(archive_limit_bytes)) as rows,
    ):
        refuse_other_archive(sample_store, run, rows)
        selection = rows.said({"selection": settings.offline.selection, "where": condition})
        with campaign_run(
            settings, sample_store, RunKind.OFFLINE, run, snapshot=snapshot, selection=selection
        ) as campaign:
            training = prepare_offline(campaign, condition, rows)
            learner, loader, history = training.learner, training.loader, training.history
            with progress_bar(f"training {settings.campaign.name} offline") as report, history:
                fit(learner, loader, history, checkpoint_every=settings.training.checkpoint_every * 10, progress=report)
            return {
                "run_id": campaign.run_id,
                "store": store,
                "policy": learner.policy().sha256,
                "iterations": loader.iteration,
                "rows": len(loader.buffer.index),
                "snapshot": loader.buffer.snapshot,
            }


def prepare_offline(campaign: Campaign, where: str | None, rows: OfflineRows | None = None) -> Training:
    """Puts an offline training together, and sets it back to its last checkpoint when it has one.

    Args:
        rows: where they are; None is the campaign's own store.
    """
    settings, store, run_id = campaign.settings, campaign.store, campaign.run_id
    offline, rows = settings.offline, rows or OfflineRows(store)
    view = BufferView(
        campaign.training_objective_sha256,
        snapshot=store.run(run_id).pinned_snapshot if rows.snapshot is None else rows.snapshot,
        where=where,
        train_on_invalid=settings.training.train_on_invalid,
    )
    buffer = Buffer(rows.store, view, build_selection(offline), campaign.prior.vocabulary)
    plan = BatchPlan(
        batch_size=offline.batch_size or settings.campaign.batch_size,
        iterations=offline.steps,
        seed=settings.campaign.seed,
    )
    learner = Learner(campaign.prior, LOSSES[offline.loss or settings.training.loss], offline_steps(settings))
    training = Training(learner, MixedLoader(plan, buffer), HistoryWriter(store, run_id), SeenMolecules(store, run_id))
    resume(training, store)
    return training


def offline_steps(settings: Settings) -> StepSettings:
    """How a batch of offline training changes the policy: as online, save for what the offline table says."""
    changed = {name: getattr(settings.offline, name) for name in ("sigma", "learning_rate")}
    return replace(step_settings(settings), **{name: value for name, value in changed.items() if value is not None})
