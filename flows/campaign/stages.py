"""The stages of a run: find the stage that a run has reached, and train it and all later stages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from molbuffer.flows.campaign.assemble import build_objective
from molbuffer.flows.campaign.campaign import Campaign
from molbuffer.flows.campaign.training import prepare_online
from molbuffer.lab import BufferBuilder, ScoreFailures, Training, objective_definition, run_training
from molbuffer.samplers import check_stored_scores
from molbuffer.storage import SampleStore
from molbuffer.training import STAGE, Ending, FitProgress, course_state

MakeBuilder = Callable[[Campaign, Training, ScoreFailures], BufferBuilder]
"""A function that makes the builder that fills the buffer of a training."""


def train_stages(
    campaign: Campaign, make_builder: MakeBuilder, report: Callable[[FitProgress], None]
) -> tuple[Training, Ending | None]:
    """Train to the end of a run, stage by stage, from its last checkpoint.

    Args:
        campaign: the campaign of the whole run.
        make_builder: makes the builder of the buffer, for each stage.
        report: called after each iteration.

    Returns:
        The training of the last stage, and the reason for its end before the last iteration; None if there was none.
    """
    while True:
        stage = present_stage(campaign)
        training = prepare_online(stage)
        failures = stage.failures(since=training.loader.iteration)
        if training.loader.actors is None:
            training.loader.build_buffer = make_builder(stage, training, failures)
        ending = run_training(training, failures, report)
        if ending is None or not ending.of_stage:
            return training, ending


def present_stage(campaign: Campaign) -> Campaign:
    """Return the campaign of the stage that a run has reached, and record the objective of the stage in the store.

    Args:
        campaign: the campaign of the whole run; without stages, it is returned as it is.
    """
    if not campaign.settings.stages:
        return campaign
    number = _reached(campaign.store, campaign.run_id)
    settings = campaign.settings.of_stage(number)
    objective = build_objective(settings)
    if objective.sha256 != build_objective(campaign.settings).sha256:
        check_stored_scores(objective, campaign.store)
        campaign.store.record_objective(objective.sha256, objective_definition(objective))
    last = number + 1 == len(campaign.settings.stages)
    return replace(
        campaign, settings=settings, stage=number, stage_end=campaign.settings.stages[number].end, last_stage=last
    )


def _reached(store: SampleStore, run_id: str) -> int:
    """Return the number of the stage of the next iteration of a run."""
    checkpoint = store.latest_checkpoint(run_id)
    states = {} if checkpoint is None else course_state(checkpoint.folder)
    return int(states[STAGE]["stage"]) if STAGE in states else 0
