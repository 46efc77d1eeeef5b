"""From settings to filters, objective and selection."""

from __future__ import annotations

from molbuffer.flows.settings import SelectionKeys, Settings
from molbuffer.scoring import ContrastiveTemplate, Filter, Objective, Standardisation
from molbuffer.storage import ConsumeOnce, Prioritized, Recent, Selection, TopK, Uniform


def build_standardisation(settings: Settings) -> Standardisation:
    """Return how the campaign standardises molecules.

    A salt is cut down to its largest fragment unless the filter ``single_component`` rejects it.
    """
    refused = any(each.kind == "single_component" for each in settings.filters)
    keys = settings.standardisation
    return Standardisation(
        cleanup=keys.cleanup,
        largest_fragment=keys.cleanup and not refused,
        neutralise=keys.neutralise,
        canonical_tautomer=keys.canonical_tautomer,
        max_length=keys.max_length,
    )


def build_filters(settings: Settings) -> tuple[Filter, ...]:
    """Return the campaign's filters, in the order in which they are applied."""
    return tuple(each.build() for each in settings.filters)


def build_objective(settings: Settings) -> Objective:
    """Return the campaign's objective."""
    return settings.objective.build(build_standardisation(settings))


def build_template(settings: Settings) -> ContrastiveTemplate | None:
    """Return which pairs the campaign keeps, and how it rewards them; None without a table ``[contrastive]``."""
    return None if settings.contrastive is None else settings.contrastive.build()


def build_selection(settings: SelectionKeys) -> Selection:
    """Return the selection of stored rows; a key that is absent has the selection's own default."""
    match settings.selection:
        case "uniform":
            return Uniform()
        case "consume_once":
            return ConsumeOnce() if settings.epochs is None else ConsumeOnce(settings.epochs)
        case "top_k":
            return TopK() if settings.top_k is None else TopK(settings.top_k)
        case "prioritized":
            return Prioritized() if settings.alpha is None else Prioritized(settings.alpha)
        case "recent":
            return Recent() if settings.max_iterations is None else Recent(settings.max_iterations)
