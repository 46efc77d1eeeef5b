"""The source code of kinds that are not molbuffer's own, whose hashes are part of a run's record."""

from __future__ import annotations

from collections.abc import Iterable

from molbuffer.flows.settings import Settings, foreign_sources
from molbuffer.kinds import add_object, read_source
from molbuffer.samplers.models import MODELS


def add_models(settings: Settings) -> None:
    """Make the classes of models that a configuration names usable in this process."""
    for name in settings.policy.models:
        add_object(MODELS, name, settings.policy.folder)


def sources_of(settings: Settings, policy_kinds: Iterable[str] = ()) -> dict[str, str]:
    """Return the sha256 of the source of each kind of a run that is not molbuffer's own, by name.

    Args:
        settings: the configuration of the run.
        policy_kinds: the kinds of the fixed policies that the run draws from.
    """
    found = foreign_sources(settings)
    for name in settings.policy.models:
        found[f"models {name}"] = read_source(name.partition(":")[0], settings.policy.folder).sha256
    for name in policy_kinds:
        kind = MODELS.kinds.get(name)
        if kind is not None and not kind.is_own and kind not in MODELS.added:
            found[f"models {kind.name} of {kind.source}"] = kind.source_sha256
    return found
