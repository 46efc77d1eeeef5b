"""The sources of kinds that are not molbuffer's own: part of a run's record, and the same for the whole of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from molbuffer.flows.settings import Settings, foreign_sources
from molbuffer.kinds import add_object, read_source
from molbuffer.samplers.models import MODELS
from molbuffer.storage import RunConflictError, SampleStore, UnknownRunError


def add_models(settings: Settings) -> None:
    """Make the classes of models that a configuration names usable in this process."""
    for name in settings.policy.models:
        add_object(MODELS, name, settings.policy.folder)


def sources_of(settings: Settings, policy_kinds: Iterable[str] = ()) -> dict[str, str]:
    """Return the hash of the source of each kind of a run that is not molbuffer's own, by name.

    Args:
        settings: the configuration of the run.
        policy_kinds: the kinds of the fixed policies that it draws from.
    """
    found = foreign_sources(settings)
    for name in settings.policy.models:
        found[f"models {name}"] = read_source(name.partition(":")[0], settings.policy.folder).sha256
    for name in policy_kinds:
        kind = MODELS.kinds.get(name)
        if kind is not None and not kind.is_own and kind not in MODELS.added:
            found[f"models {kind.name} of {kind.source}"] = kind.source_sha256
    return found


def refuse_other_sources(store: SampleStore, run_id: str, sources: Mapping[str, str]) -> None:
    """Refuse to resume a run with other sources than those it began with: its samples would be of two origins.

    Raises:
        RunConflictError: a source has changed since the run began.
    """
    try:
        began = store.run(run_id).libraries
    except UnknownRunError:
        return
    for name, sha256 in sources.items():
        if began.get(name, sha256) != sha256:
            raise RunConflictError(
                f"the source of the kind {name} has changed since run {run_id} began (sha256 {began[name][:12]}, now "
                f"{sha256[:12]}): start a new run, or bring back the source that it began with"
            )
