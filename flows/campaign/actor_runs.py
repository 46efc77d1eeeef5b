"""The runs of actors, each made from the stored record of its learner."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from molbuffer.flows.campaign.assemble import build_objective
from molbuffer.flows.campaign.campaign import Campaign, reopen_campaign, run_seed
from molbuffer.flows.campaign.sources import sources_of
from molbuffer.flows.settings import ASYNC, Settings
from molbuffer.lab import NoLearnerError, described_run, refuse_other_sources
from molbuffer.samplers import check_stored_scores
from molbuffer.storage import Run, RunConflictError, RunKind, SampleStore

# A run may have gone on with another configuration, but not in another mode.
_AT_WORK = """
    SELECT runs.run_id FROM {runs} AS runs JOIN {run_states} AS states USING (run_id)
    WHERE runs.kind = 'train' AND (runs.config->>'$.training.mode') = 'async' AND (? IS NULL OR runs.name = ?)
        AND states.status NOT IN ('finished', 'failed')
    ORDER BY runs.created DESC LIMIT 1"""


def find_learner(store: SampleStore, run_id: str | None = None, name: str | None = None) -> Run:
    """Return a run that learns from actors.

    Args:
        store: the store.
        run_id: the id of the run, or the start of it; None is the newest one that has not ended.
        name: the name of the run's campaign, used when ``run_id`` is None; None is any.

    Raises:
        NoLearnerError: the run does not learn from actors, or no such run is at work.
        UnknownRunError: the store does not know the run.
    """
    if run_id is None:
        found = store.read_arrow(_AT_WORK, parameters=[name, name])["run_id"].to_pylist()
        if not found:
            of = "" if name is None else f" of the campaign {name!r}"
            raise NoLearnerError(
                f'no training{of} with training.mode = "async" is at work in {store.path}; start one with '
                "`molbuffer run`, or name a run"
            )
        run_id = str(found[0])
    run = store.run(run_id)
    mode = Settings.from_json(run.config).training.mode if run.kind is RunKind.TRAIN else None
    if mode != ASYNC:
        is_one = f"a run of the kind {run.kind}" if mode is None else f'a training with training.mode = "{mode}"'
        raise NoLearnerError(
            f'run {run.run_id} is {is_one}; actors draw for a training with training.mode = "async", which '
            "`molbuffer run` begins"
        )
    return run


@contextmanager
def actor_run(store: SampleStore, learner: Run, run_id: str, device: str | None = None) -> Iterator[Campaign]:
    """Record a run of an actor around its work on the campaign of its learner.

    Args:
        store: the open store.
        learner: the run of the learner.
        run_id: the run of the actor; one that the store knows is resumed.
        device: the device to draw on; None is that of the settings.

    Raises:
        RunConflictError: the objective, or a class of the user, differs on this host from the learner's.
        DeviceError: this machine has no such device.
    """
    campaign = reopen_campaign(store, learner.run_id, device)
    settings, objective = campaign.settings, build_objective(campaign.settings)
    if objective.sha256 != learner.objective_sha256:
        raise RunConflictError(
            f"the objective of run {learner.run_id} differs on this host, since the source of a scoring function or a "
            "library differs: install the same versions here as on the host of the learner"
        )
    sources = sources_of(settings, [version.kind for version in campaign.policy_versions()])
    refuse_other_sources(store, learner.run_id, sources)
    record = described_run(
        run_id,
        learner.name,
        RunKind.BUILD,
        learner.config,
        run_seed(settings, store, RunKind.BUILD, run_id),
        objective=objective,
        pinned_snapshot=store.snapshot(),
        parent_run_id=learner.run_id,
    )
    record = replace(record, libraries={**record.libraries, **sources})
    # The learner may have been resumed with a changed configuration, which its own checks have accepted.
    with store.recorded_run(record, accept=lambda known, wanted: known != wanted):
        check_stored_scores(objective, store)
        yield replace(campaign, run_id=run_id, seed=record.seed)
