"""train_offline: training from stored samples alone. Nothing is drawn, built or scored."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from prefect import flow

from flows.assemble import build_objective, build_selection
from flows.campaign import Campaign, campaign_run, read_settings
from flows.progress import progress_bar
from flows.run_identity import current_run_id
from flows.settings import Settings
from flows.train import Training, resume, step_settings
from samplers.seen import SeenMolecules
from storage import SampleStore
from storage.records import RunKind
from training.buffer import Buffer, BufferView
from training.history import HistoryWriter
from training.learner import Learner, StepSettings
from training.loader import BatchPlan, MixedLoader
from training.loop import fit
from training.losses import LOSSES


@flow(name="train_offline", validate_parameters=False)
def train_offline(
    config: str, store: str, snapshot: int | None = None, where: str | None = None, run_id: str | None = None
) -> dict[str, Any]:
    """Trains a policy, from the configuration's prior, on rows that earlier runs stored under its objective.

    Args:
        config: the path of a TOML file, or the settings as JSON; the ``[offline]`` table says how.
        store: the folder of the store.
        snapshot: the version of the store to read; by default the present one.
        where: an SQL condition on ``sample_history``; by default that of the configuration.
        run_id: a run to go on with; by default a new run, which a retry of this flow run resumes.

    Returns:
        What became of the run: ``run_id``, ``policy`` (sha256 of the trained policy), ``iterations``, ``rows`` (stored
        rows it could read) and ``snapshot`` (that it read).
    """
    settings = read_settings(config)
    selection = json.dumps({"selection": settings.offline.selection, "where": where or settings.offline.where})
    with (
        SampleStore.open(Path(store)) as sample_store,
        campaign_run(
            settings,
            sample_store,
            RunKind.OFFLINE,
            run_id or current_run_id(),
            snapshot=snapshot,
            selection=selection,
        ) as campaign,
    ):
        training = prepare_offline(campaign, where or settings.offline.where)
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


def prepare_offline(campaign: Campaign, where: str | None) -> Training:
    """Puts an offline training together, and sets it back to its last checkpoint when it has one."""
    settings, store, run_id = campaign.settings, campaign.store, campaign.run_id
    offline = settings.offline
    view = BufferView(
        build_objective(settings).sha256,
        snapshot=store.run(run_id).pinned_snapshot,
        where=where,
        train_on_invalid=settings.training.train_on_invalid,
    )
    buffer = Buffer(store, view, build_selection(offline), campaign.prior.vocabulary)
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
