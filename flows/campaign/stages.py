"""The stages of a run: the campaign of the stage that a run has come to, from its last checkpoint."""

from __future__ import annotations

from dataclasses import replace

from molbuffer.flows.campaign.assemble import build_objective
from molbuffer.flows.campaign.campaign import Campaign
from molbuffer.lab import objective_definition
from molbuffer.samplers import check_stored_scores
from molbuffer.storage import SampleStore
from molbuffer.training import STAGE, course_state


def present_stage(campaign: Campaign) -> Campaign:
    """Return the campaign of the stage that a run has come to, whose objective is then recorded.

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
