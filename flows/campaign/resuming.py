"""Resume a run under a changed configuration; ``settings.resuming`` says which keys may change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from molbuffer.flows.campaign.assemble import build_objective
from molbuffer.flows.campaign.sources import sources_of
from molbuffer.flows.settings import MAY_CHANGE, OWN_POLICIES, Settings, changes
from molbuffer.lab import refuse_other_sources
from molbuffer.samplers import check_policy_folder, find_policy
from molbuffer.storage import Run, RunConflictError, RunKind, SampleStore, UnknownRunError


def check_resumed(store: SampleStore, run_id: str, kind: RunKind, settings: Settings) -> None:
    """Refuse settings with which a run of the store cannot be resumed; a run that the store does not know may begin.

    Raises:
        RunConflictError: the run is of another kind, the value of a key has changed that may not change, or the
            settings ask for fewer iterations than the run has done; the message names each key.
    """
    try:
        run = store.run(run_id)
    except UnknownRunError:
        return
    if run.kind is not kind:
        raise RunConflictError(f"run {run.run_id} is of the kind {run.kind}, and cannot go on as {kind}")
    if kind is RunKind.TRAIN and run.parent_run_id is not None:
        raise RunConflictError(
            f"run {run.run_id} is an agent of run {run.parent_run_id}: resume that run, which resumes all its agents"
        )
    accept_changes(store, run, folders_pass=True)(run.config, settings.to_json())
    refuse_other_sources(store, run_id, sources_of(settings, _policy_kinds(settings, store)))
    if build_objective(settings).sha256 != run.objective_sha256:
        raise RunConflictError(
            f"run {run.run_id} cannot go on: its objective has changed, since the source of a scoring function or a "
            "library has changed; restore the earlier version, or begin a new run"
        )


def _policy_kinds(settings: Settings, store: SampleStore) -> set[str]:
    """Return the kinds of those policies that a configuration draws from whose files can be read without torch."""
    samplers = {name for each in settings.samplers for name in each.table.policies} - set(OWN_POLICIES)
    named = {settings.policy.prior, settings.policy.agent or settings.policy.prior, *samplers}
    folders = (find_policy(name, store) for name in named)
    return {check_policy_folder(folder) for folder in folders if isinstance(folder, Path)}


def accept_changes(store: SampleStore, run: Run, *, folders_pass: bool = False) -> Callable[[str, str], bool]:
    """Return a function that judges whether a run can be resumed with a configuration, for ``SampleStore.start_run``.

    The function gets the recorded and the new configuration as JSON. It returns whether a key has changed, and raises
    RunConflictError if such a key may not change.

    Args:
        store: the store of the run.
        run: the run.
        folders_pass: accept the folder of a policy in place of any sha256, since its sha256 is known only once the
            policy is loaded.
    """
    checkpoint = store.latest_checkpoint(run.run_id)
    done = checkpoint.iteration if checkpoint is not None else 0

    def accept(known: str, wanted: str) -> bool:
        after = Settings.from_json(wanted)
        found = changes(known, after)
        refused = [change for change in found if not change.allowed]
        if after.screening is not None:
            # The cost of a component decides whether screening predicts or computes it.
            refused += [change for change in found if change.key == "objective.components.cost"]
        if folders_pass:
            refused = [change for change in refused if not _names_a_folder(change.before, change.after)]
        if refused:
            lines = "\n".join(f"  {change}" for change in refused)
            # A build publishes no policy.
            start = f'; with policy.agent = "run:{run.run_id}" it starts from the policy of this run'
            raise RunConflictError(
                f"run {run.run_id} cannot go on with other settings than it has:\n{lines}\nThese keys may change when "
                f"a run is resumed: {', '.join(MAY_CHANGE)}. To change another key, begin a new run"
                f"{'' if run.kind is RunKind.BUILD else start}"
            )
        key, asked = "campaign.iterations", after.campaign.iterations
        if run.kind is RunKind.OFFLINE:
            key, asked = "offline.steps", after.offline.steps
        if asked < done and any(change.key == key for change in found):
            raise RunConflictError(
                f"run {run.run_id} has done {done} iterations, and cannot go on to {asked}: expected {key} >= {done}"
            )
        return bool(found)

    return accept


def _names_a_folder(before: Any, after: Any) -> bool:
    """Return whether the value of a key has changed from a sha256 to the folder of a policy."""
    return isinstance(before, str) and isinstance(after, str) and len(before) == 64 and Path(after).is_dir()
