"""Make the parts of a training, online or offline, from a campaign, and restore them from its last checkpoint.

``assemble_online`` and ``assemble_offline`` make the parts and write nothing; ``prepare_online`` and
``prepare_offline`` also restore the last checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable

from molbuffer.flows.campaign.assemble import build_objective
from molbuffer.flows.campaign.campaign import Campaign, campaign_run
from molbuffer.flows.campaign.flow_runs import warn
from molbuffer.flows.campaign.latents import build_trainables
from molbuffer.flows.settings import ASYNC, Settings, selection_of
from molbuffer.lab import (
    ActorsPlan,
    OfflineRows,
    OfflineTraining,
    Relabelled,
    Training,
    TrainingPlan,
    go_on,
    offline_training,
    online_training,
    publish_latents,
    refuse_no_rows,
    relabelled,
)
from molbuffer.samplers import BEST
from molbuffer.storage import KeptOfRun, RunKind, SampleStore, UnknownRunError
from molbuffer.training import BatchPlan, BestAgent, Replay, Waiting

OFFLINE_STRETCH = 10
"""The factor by which checkpoints are rarer offline than online: an offline iteration draws and scores nothing."""


def prepare_online(campaign: Campaign) -> Training:
    """Make the parts of an online training, publish its first latents, and restore the run's last checkpoint if any."""
    training = assemble_online(campaign)
    assert training.loader.live is not None
    publish_latents(training.loader.live.samplers, campaign.store, campaign.run_id)
    go_on(training, campaign.store)
    return training


def actors_plan(settings: Settings, watch: Callable[[], None] = lambda: None) -> ActorsPlan | None:
    """Return the plan by which a training learns from actors; None if it fills its buffer itself.

    Args:
        settings: the settings.
        watch: is called while the training waits for rows, and checks the actors that were started with it.
    """
    if settings.training.mode != ASYNC:
        return None
    rates = settings.rates
    table = rates.table
    return ActorsPlan(rates.limit, table.repin_every, 60 * table.wait_minutes, watch)


def assemble_online(campaign: Campaign) -> Training:
    """Make the parts of an online training in their initial state."""
    settings = campaign.settings
    draws_from_best = any(BEST in each.table.policies for each in settings.samplers)
    best = BestAgent(campaign.start) if draws_from_best else None
    plan = TrainingPlan(
        BatchPlan(
            batch_size=settings.campaign.batch_size,
            iterations=settings.campaign.iterations,
            seed=campaign.seed,
            build_every=settings.buffer.build_every,
            train_on_invalid=settings.training.train_on_invalid,
            replay=settings.training.replay(settings.buffer),
        ),
        settings.training.built_loss,
        learner=settings.training.learner,
        selection=selection_of(settings.buffer.selection),
        own_only=settings.buffer.runs == "own",
        checkpoint_every=settings.training.checkpoint_every,
        keep=kept_of_run(campaign),
        stops=settings.campaign.stops,
        stage_end=campaign.stage_end,
        last_stage=campaign.last_stage,
        guard=None if settings.guard is None else settings.guard.build(),
        tell=warn,
        diversity=None if settings.diversity is None else settings.diversity.build(),
        best=best,
        waiting=Waiting(settings.buffer.pending_timeout),
        actors=actors_plan(settings, campaign.watch),
        first_agent=campaign.first_agent,
    )
    tables = [each.table for each in settings.samplers]
    return online_training(
        campaign.context,
        plan,
        lambda agent, writer: campaign.samplers(agent, writer.settled, unsettled=writer.unsettled, best=best),
        lambda samplers: build_trainables(tables, samplers),
    )


def prepare_offline(campaign: Campaign, where: str | None = None, rows: OfflineRows | None = None) -> OfflineTraining:
    """Make the parts of an offline training, and restore the run's last checkpoint if it has one.

    Args:
        campaign: the campaign.
        where: an SQL condition on ``sample_history``; None is that of the settings.
        rows: the rows to learn from; None is those of the campaign's own store.
    """
    training = assemble_offline(campaign, where, rows)
    go_on(training, campaign.store)
    return training


def assemble_offline(campaign: Campaign, where: str | None = None, rows: OfflineRows | None = None) -> OfflineTraining:
    """Make the parts of an offline training in their initial state; ``prepare_offline`` describes the arguments."""
    settings, offline = campaign.settings, campaign.settings.offline
    plan = TrainingPlan(
        BatchPlan(
            batch_size=offline.batch_size or settings.campaign.batch_size,
            iterations=offline.steps,
            seed=settings.campaign.seed,
            train_on_invalid=settings.training.train_on_invalid,
            replay=Replay(randomise=offline.randomise),
        ),
        offline.built_loss(settings.training),
        learner=offline.learner(settings.training),
        selection=selection_of(offline.selection),
        where=offline_condition(settings, where),
        checkpoint_every=settings.training.checkpoint_every * OFFLINE_STRETCH,
        keep=kept_of_run(campaign),
        stops=settings.campaign.stops,
    )
    return offline_training(campaign.context, plan, rows, offline.judging)


def kept_of_run(campaign: Campaign) -> KeptOfRun:
    """Return how many checkpoints and policies of the run are kept while it goes on."""
    keys = campaign.settings.campaign
    return KeptOfRun(keys.keep_checkpoints, keys.keep_policies, campaign.start.kind)


def offline_condition(settings: Settings, where: str | None) -> str | None:
    """Return the SQL condition on the rows: the given one, else that of the settings; None is every row with a
    reward.
    """
    return where or settings.offline.where


def check_rows(
    settings: Settings,
    store: SampleStore | None,
    run_id: str,
    rows: OfflineRows,
    where: str | None,
    snapshot: int | None,
) -> None:
    """Refuse sources without a row that a new run can learn from, as far as this is known before the run begins.

    It is not known if the rows are relabelled first, if they are pairs, whose objective depends on the policy, or if
    invalid rows are learned from. A run that has begun is not checked.

    Raises:
        BatchShortError: no row has a reward under the objective.
    """
    unknown = settings.offline.relabel != "off" or settings.contrastive is not None
    if unknown or settings.training.train_on_invalid:
        return
    if store is not None and _has_begun(store, run_id):
        return
    refuse_no_rows(rows, build_objective(settings).sha256, where, snapshot)


def _has_begun(store: SampleStore, run_id: str) -> bool:
    try:
        return store.run(run_id).run_id == run_id
    except UnknownRunError:
        return False


def relabel_first(
    *, settings: Settings, store: SampleStore, run_id: str, rows: OfflineRows, where: str | None, device: str | None
) -> Relabelled | None:
    """Score the rows without a reward under the objective, if the settings say so, before the training begins.

    The scores belong to a separate run, so that the snapshot that the training pins has all of them.

    Returns:
        A summary of the relabelling; None if nothing is relabelled, or the training has begun already.
    """
    if settings.offline.relabel == "off" or _has_begun(store, run_id):
        return None
    with campaign_run(settings, store, RunKind.SCORE, f"relabel-{run_id}", device=device) as campaign:
        return relabelled(campaign.context, rows, where, settings.offline.judging)
