"""Going on with a run under a configuration that differs from the one it had (``settings.resuming`` says in what)."""

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
    """Refuse settings that a run of the store cannot go on with; a run that the store does not know is none of them.

    Raises:
        RunConflictError: the run is of another kind, a key has another value that may not change, or fewer iterations
            are asked for than the run has done; it names each.
    """
    try:
        run = store.run(run_id)
    except UnknownRunError:
        return
    if run.kind is not kind:
        raise RunConflictError(f"run {run.run_id} is of the kind {run.kind}, and cannot go on as {kind}")
    if kind is RunKind.TRAIN and run.parent_run_id is not None:
        raise RunConflictError(
            f"run {run.run_id} is an agent of run {run.parent_run_id}, which goes on with all of them: resume that one"
        )
    accept_changes(store, run, folders_pass=True)(run.config, settings.to_json())
    refuse_other_sources(store, run_id, sources_of(settings, _policy_kinds(settings, store)))
    if build_objective(settings).sha256 != run.objective_sha256:
        raise RunConflictError(
            f"run {run.run_id} cannot go on: its objective is another one now, since the source of a scoring function "
            "or a library has changed; bring that back, or begin a new run"
        )


def _policy_kinds(settings: Settings, store: SampleStore) -> set[str]:
    """Return the kinds of the policies that a configuration draws from, as far as their files are at hand."""
    samplers = {name for each in settings.samplers for name in each.table.policies} - set(OWN_POLICIES)
    named = {settings.policy.prior, settings.policy.agent or settings.policy.prior, *samplers}
    folders = (find_policy(name, store) for name in named)
    return {check_policy_folder(folder) for folder in folders if isinstance(folder, Path)}


def accept_changes(store: SampleStore, run: Run, *, folders_pass: bool = False) -> Callable[[str, str], bool]:
    """Return the judge of configurations with which a run can go on, for ``SampleStore.start_run``.

    Args:
        store: the store of the run.
        run: the run.
        folders_pass: let the folder of a policy stand for any sha256: which one it has is known when it is loaded.
    """
    checkpoint = store.latest_checkpoint(run.run_id)
    done = checkpoint.iteration if checkpoint is not None else 0

    def accept(known: str, wanted: str) -> bool:
        after = Settings.from_json(wanted)
        found = changes(known, after)
        refused = [change for change in found if not change.allowed]
        if after.screening is not None:
            # Which components are predicted, and which are computed, follows from what they cost.
            refused += [change for change in found if change.key == "objective.components.cost"]
        if folders_pass:
            refused = [change for change in refused if not _names_a_folder(change.before, change.after)]
        if refused:
            lines = "\n".join(f"  {change}" for change in refused)
            # A build publishes no policy.
            start = f'; with policy.agent = "run:{run.run_id}" it starts from the policy of this one'
            raise RunConflictError(
                f"run {run.run_id} cannot go on with other settings than it has:\n{lines}\nIn a run that is gone on "
                f"with may change: {', '.join(MAY_CHANGE)}. For the rest begin a new run"
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
    """Return whether a key that had a sha256 now has the folder of a policy."""
    return isinstance(before, str) and isinstance(after, str) and len(before) == 64 and Path(after).is_dir()
