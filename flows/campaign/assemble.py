"""Build the standardisation, filters, objective and template that settings describe."""

from __future__ import annotations

from dataclasses import replace

from molbuffer.flows.settings import Settings
from molbuffer.scoring import ContrastiveTemplate, Filter, Objective, Standardisation
from molbuffer.storage import SampleStore


def build_standardisation(settings: Settings) -> Standardisation:
    """Return how the campaign standardises molecules.

    A salt is cut down to its largest fragment unless the filter ``single_component`` rejects it.
    """
    refused = any(each.kind == "single_component" for each in settings.filters)
    made: Standardisation = settings.standardisation.build()
    return replace(made, largest_fragment=made.cleanup and not refused)


def build_filters(settings: Settings) -> tuple[Filter, ...]:
    """Return the campaign's filters, in the order in which they are applied."""
    return tuple(each.build() for each in settings.filters)


def build_objective(settings: Settings) -> Objective:
    """Return the campaign's objective."""
    return settings.objective.build(build_standardisation(settings))


def build_template(settings: Settings) -> ContrastiveTemplate | None:
    """Return which pairs the campaign keeps, and how it rewards them; None without a table ``[contrastive]``."""
    return None if settings.contrastive is None else settings.contrastive.build()


def run_settings(store: SampleStore, run_id: str, stage: int | None = None) -> Settings:
    """Return the settings of a started run from its record in the store, with the values of a stage if one is given."""
    settings = Settings.from_json(store.run(run_id).config)
    return settings if stage is None else settings.of_stage(stage)
