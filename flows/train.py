"""train: online training. Builds of the buffer are tasks; batches mix live and stored samples by ``p_batch``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prefect import flow

from molbuffer.flows.build_buffer import run_build_tasks
from molbuffer.flows.campaign.assemble import build_selection
from molbuffer.flows.campaign.campaign import Campaign, campaign_run, read_settings
from molbuffer.flows.campaign.latents import build_trainables, latent_versions, publish_latents
from molbuffer.flows.campaign.progress import progress_bar
from molbuffer.flows.campaign.run_identity import current_run_id
from molbuffer.flows.settings.settings import Settings
from molbuffer.flows.tasks.build_request import build_requests
from molbuffer.samplers.builds.drawn_counts import DrawnRows
from molbuffer.samplers.builds.seen import SeenMolecules
from molbuffer.storage import SampleStore
from molbuffer.storage.records import BuildReceipt, Commit, Event, RunKind
from molbuffer.training.batches.buffer import Buffer, BufferView
from molbuffer.training.batches.loader import BatchPlan, LiveSamplers, MixedLoader
from molbuffer.training.fit.history_writer import HistoryWriter
from molbuffer.training.fit.learner import Learner, StepSettings
from molbuffer.training.fit.loop import commit_checkpoint, fit
from molbuffer.training.fit.trainables import Trainables
from molbuffer.training.losses import LOSSES


@flow(name="train", validate_parameters=False)
def train(config: str, store: str, run_id: str | None = None) -> dict[str, Any]:
    """Runs a campaign: fills the buffer, trains the policy, and stores all that was drawn.

    Args:
        config: the path of a TOML file, or the settings as JSON.
        store: the folder of the store; made when it does not exist.
        run_id: a run to go on with; by default a new run, which a retry of this flow run resumes.

    Returns:
        What became of the run: ``run_id``, ``policy`` (sha256 of the trained policy), ``iterations``, ``failed_scores``
        (the scores that could not be computed) and ``snapshot``.
    """
    settings = read_settings(config)
    with (
        SampleStore.open_or_create(Path(store)) as sample_store,
        campaign_run(settings, sample_store, RunKind.TRAIN, run_id or current_run_id()) as campaign,
    ):
        training = prepare(campaign)
        learner, loader, history = training.learner, training.loader, training.history
        with progress_bar(f"training {settings.campaign.name}") as report, history:
            fit(
                learner,
                loader,
                history,
                trainables=training.trainables,
                checkpoint_every=settings.training.checkpoint_every,
                progress=report,
            )
        return {
            "run_id": campaign.run_id,
            "store": store,
            "policy": learner.policy().sha256,
            "iterations": loader.iteration,
            "failed_scores": campaign.failed_scores,
            "snapshot": sample_store.snapshot(),
        }


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
    drawn: DrawnRows = field(default_factory=DrawnRows)
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
    drawn = DrawnRows() if checkpoint is None else DrawnRows.before(checkpoint.iteration, store.receipts(run_id))
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
    training.loader.build_buffer = TaskBuilder(campaign, training)
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


@dataclass
class TaskBuilder:
    """Builds the buffer of a training as task runs, with the policy as it is."""

    campaign: Campaign
    training: Training

    def __call__(self, iteration: int) -> Sequence[BuildReceipt]:
        """Publishes the policy, so that tasks in any process can draw with it, and has every chunk made."""
        learner, history, store = self.training.learner, self.training.history, self.campaign.store
        trainables, live = self.training.trainables, self.training.loader.live
        if history.pending:
            # The metric ``new`` of what is built now must know all that was drawn before.
            commit_checkpoint(learner, self.training.loader, history, trainables)
        history.drain()
        version = learner.publish(store.policies, history.run_id, iteration)
        others = trainables.publish(store.policies, history.run_id, iteration)
        message = f"policy of run {history.run_id}, iteration {iteration}"
        store.commit(Commit(policies=[version, *others.values()], message=message))
        latents = latent_versions(live.samplers if live is not None else ())
        requests = build_requests(self.campaign, iteration, version.sha256, self.training.drawn, latents)
        receipts = run_build_tasks(requests)
        self.training.seen.read(iteration, Event.SAMPLE_BATCH)
        return receipts
