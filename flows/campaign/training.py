"""The parts of an online training: put together from a campaign, and set back to its last checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, field

from molbuffer.flows.campaign.assemble import build_selection
from molbuffer.flows.campaign.campaign import Campaign
from molbuffer.flows.campaign.latents import build_trainables, publish_latents
from molbuffer.flows.settings.settings import Settings
from molbuffer.samplers.builds.drawn_counts import DrawCounts
from molbuffer.samplers.builds.seen import SeenMolecules
from molbuffer.storage import SampleStore
from molbuffer.storage.records import Event
from molbuffer.training.batches.buffer import Buffer, BufferView
from molbuffer.training.batches.loader import BatchPlan, LiveSamplers, MixedLoader
from molbuffer.training.fit.history_writer import HistoryWriter
from molbuffer.training.fit.learner import Learner, StepSettings
from molbuffer.training.fit.trainables import Trainables
from molbuffer.training.losses import LOSSES


@dataclass(frozen=True)
class Training:
    """The parts of a training, ready to be fitted or, after a restart, to be gone on with.

    Attributes:
        seen: the molecules of the run so far. drawn: how far its samplers have come.
        trainables: what the samplers learn.
    """

    learner: Learner
    loader: MixedLoader
    history: HistoryWriter
    seen: SeenMolecules
    drawn: DrawCounts = field(default_factory=DrawCounts)
    trainables: Trainables = Trainables()


def prepare(campaign: Campaign) -> Training:
    """Puts a training together, and sets it back to its last checkpoint when it has one."""
    settings, store, run_id = campaign.settings, campaign.store, campaign.run_id
    seen = SeenMolecules(store, run_id)
    learner = Learner(campaign.prior, LOSSES[settings.training.loss], step_settings(settings))
    buffer = Buffer(store, _view(campaign), build_selection(settings.buffer), campaign.prior.vocabulary)
    history = HistoryWriter(store, run_id)
    samplers, pipeline = campaign.samplers(learner.policy, history.settled), campaign.pipeline(seen)
    publish_latents(samplers, store, run_id)
    checkpoint = store.latest_checkpoint(run_id)
    drawn = DrawCounts() if checkpoint is None else DrawCounts.before(checkpoint.iteration, store.receipts(run_id))
    live = LiveSamplers(samplers, pipeline, run_id, settings.campaign.seed, seen.add, drawn)
    plan = BatchPlan(
        batch_size=settings.campaign.batch_size,
        iterations=settings.campaign.iterations,
        seed=settings.campaign.seed,
        build_every=settings.buffer.build_every,
        train_on_invalid=settings.training.train_on_invalid,
    )
    trainables = build_trainables(settings.samplers, samplers)
    training = Training(learner, MixedLoader(plan, buffer, live), history, seen, drawn, trainables)
    resume(training, store)
    return training


def resume(training: Training, store: SampleStore) -> None:
    """Goes back to the last checkpoint of the run, if it has one."""
    run_id = training.history.run_id
    checkpoint = store.latest_checkpoint(run_id)
    if checkpoint is None:
        return
    buffer = training.loader.buffer
    training.loader.load_state_dict(training.learner.restore(checkpoint.folder)["loader"])
    training.trainables.restore(checkpoint.folder)
    buffer.restore(store.consumed(run_id, up_to_iteration=checkpoint.iteration))
    training.history.checkpointed = checkpoint.iteration
    training.seen.read(checkpoint.iteration, Event.BUILD_BUFFER)


def step_settings(settings: Settings) -> StepSettings:
    """How a batch of online training changes the policy."""
    training = settings.training
    return StepSettings(training.sigma, training.learning_rate, training.gradient_norm)


def _view(campaign: Campaign) -> BufferView:
    settings = campaign.settings
    return BufferView(
        campaign.training_objective_sha256,
        run_id=campaign.run_id,
        snapshot=campaign.store.run(campaign.run_id).pinned_snapshot,
        own_only=settings.buffer.runs == "own",
        train_on_invalid=settings.training.train_on_invalid,
    )
