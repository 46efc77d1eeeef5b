"""The parts of a training, online or offline: made from a campaign, and set back to its last checkpoint.

``assemble_online`` and ``assemble_offline`` make the parts and write nothing; ``prepare_online`` and
``prepare_offline`` also make them ready to go on.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from molbuffer.flows.campaign.campaign import Campaign
from molbuffer.flows.campaign.latents import build_trainables, publish_latents
from molbuffer.flows.campaign.offline_rows import OfflineRows, offline_condition
from molbuffer.flows.settings import selection_of
from molbuffer.samplers import DrawCounts, SeenMolecules
from molbuffer.storage import Event, KeptOfRun, SampleStore
from molbuffer.training import (
    BatchPlan,
    Buffer,
    BufferView,
    HistoryWriter,
    Learner,
    LiveSamplers,
    MixedLoader,
    Trainables,
)

OFFLINE_STRETCH = 10
"""Iterations between checkpoints offline, for each one online: an offline iteration draws and scores nothing."""


@dataclass(frozen=True)
class Training:
    """The parts of a training, ready for ``fit``.

    Attributes:
        learner: the policy in training.
        loader: the loader of mixed batches.
        writer: the writer of the run's history.
        seen: the molecules of the run so far.
        drawn: the number of rows that each sampler has drawn in the run.
        checkpoint_every: the number of iterations between checkpoints.
        trainables: the trainers of the samplers' latents.
    """

    learner: Learner
    loader: MixedLoader
    writer: HistoryWriter
    seen: SeenMolecules
    checkpoint_every: int
    drawn: DrawCounts = field(default_factory=DrawCounts)
    trainables: Trainables = Trainables()


def prepare_online(campaign: Campaign) -> Training:
    """Make the parts of an online training, publish the latents that it begins with, and set it back to the run's last
    checkpoint if it has one.
    """
    training = assemble_online(campaign)
    assert training.loader.live is not None
    publish_latents(training.loader.live.samplers, campaign.store, campaign.run_id)
    resume(training, campaign.store)
    return training


def assemble_online(campaign: Campaign) -> Training:
    """Make the parts of an online training, at its beginning."""
    settings, store, run_id = campaign.settings, campaign.store, campaign.run_id
    seen = SeenMolecules(store, run_id)
    learner = Learner(campaign.prior, settings.training.built_loss, settings.training.learner, campaign.agent)
    buffer = Buffer(store, _view(campaign), selection_of(settings.buffer.selection), campaign.prior.vocabulary)
    writer = HistoryWriter(store, run_id, kept_of_run(campaign))
    samplers, pipeline = campaign.samplers(learner.policy, writer.settled), campaign.pipeline(seen)
    checkpoint = store.latest_checkpoint(run_id)
    drawn = DrawCounts() if checkpoint is None else DrawCounts.before(checkpoint.iteration, store.receipts(run_id))
    live = LiveSamplers(
        samplers, pipeline, run_id=run_id, campaign_seed=settings.campaign.seed, made=seen.add, drawn=drawn
    )
    plan = BatchPlan(
        batch_size=settings.campaign.batch_size,
        iterations=settings.campaign.iterations,
        seed=settings.campaign.seed,
        build_every=settings.buffer.build_every,
        train_on_invalid=settings.training.train_on_invalid,
    )
    trainables = build_trainables([each.table for each in settings.samplers], samplers)
    return Training(
        learner,
        MixedLoader(plan, buffer, live),
        writer,
        seen,
        checkpoint_every=settings.training.checkpoint_every,
        drawn=drawn,
        trainables=trainables,
    )


def prepare_offline(campaign: Campaign, where: str | None = None, rows: OfflineRows | None = None) -> Training:
    """Make the parts of an offline training, set back to the run's last checkpoint if it has one.

    Args:
        campaign: the campaign.
        where: an SQL condition on ``sample_history``; None is that of the settings.
        rows: the rows; None is those of the campaign's own store.
    """
    training = assemble_offline(campaign, where, rows)
    resume(training, campaign.store)
    return training


def assemble_offline(campaign: Campaign, where: str | None = None, rows: OfflineRows | None = None) -> Training:
    """Make the parts of an offline training, at its beginning; the arguments are those of ``prepare_offline``."""
    settings, store, run_id = campaign.settings, campaign.store, campaign.run_id
    offline, rows = settings.offline, rows or OfflineRows(store)
    view = BufferView(
        campaign.training_objective_sha256,
        snapshot=store.run(run_id).pinned_snapshot if rows.snapshot is None else rows.snapshot,
        where=offline_condition(settings, where),
        train_on_invalid=settings.training.train_on_invalid,
    )
    buffer = Buffer(rows.store, view, selection_of(offline.selection), campaign.prior.vocabulary)
    plan = BatchPlan(
        batch_size=offline.batch_size or settings.campaign.batch_size,
        iterations=offline.steps,
        seed=settings.campaign.seed,
    )
    online = settings.training
    learner = Learner(campaign.prior, offline.built_loss(online), offline.learner(online), campaign.agent)
    return Training(
        learner,
        MixedLoader(plan, buffer),
        HistoryWriter(store, run_id, kept_of_run(campaign)),
        SeenMolecules(store, run_id),
        checkpoint_every=settings.training.checkpoint_every * OFFLINE_STRETCH,
    )


def resume(training: Training, store: SampleStore) -> None:
    """Set a training back to the last checkpoint of its run, if it has one."""
    run_id = training.writer.run_id
    checkpoint = store.latest_checkpoint(run_id)
    if checkpoint is None:
        return
    buffer = training.loader.buffer
    training.loader.load_state_dict(training.learner.restore(checkpoint.folder)["loader"])
    training.trainables.restore(checkpoint.folder)
    buffer.restore(store.consumed(run_id, up_to_iteration=checkpoint.iteration))
    training.writer.checkpointed = checkpoint.iteration
    training.seen.read(checkpoint.iteration, Event.BUILD_BUFFER)


def kept_of_run(campaign: Campaign) -> KeptOfRun:
    """Return what stays of the run while it goes on."""
    keys = campaign.settings.campaign
    return KeptOfRun(keys.keep_checkpoints, keys.keep_policies, campaign.start.kind)


def _view(campaign: Campaign) -> BufferView:
    settings = campaign.settings
    return BufferView(
        campaign.training_objective_sha256,
        run_id=campaign.run_id,
        snapshot=campaign.store.run(campaign.run_id).pinned_snapshot,
        own_only=settings.buffer.runs == "own",
        train_on_invalid=settings.training.train_on_invalid,
    )
