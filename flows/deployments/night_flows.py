"""The flows of deployments: those of a campaign, each with a form, with retries that resume the run, and a time limit.

Deployments name the flows by module, so that a worker finds them in any folder. Each flow has one parameter, a pydantic
model.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import flow, runtime

from molbuffer.flows.deployments.attempts import OverdueError, ended_after, resumed_after_errors
from molbuffer.flows.deployments.dead_runs import agree, note_run
from molbuffer.flows.deployments.host_files import refuse_missing
from molbuffer.flows.deployments.names import campaign_name, flow_run_name, run_id_of
from molbuffer.flows.deployments.outputs import dated, show_report
from molbuffer.flows.deployments.parameters import (
    AS_CONFIGURED,
    ActParameters,
    ArchiveParameters,
    BuildParameters,
    CampaignParameters,
    DeadRunsParameters,
    ExportParameters,
    MaintainParameters,
    OfflineParameters,
    ReportParameters,
    ScorePendingParameters,
    TrainParameters,
)
from molbuffer.flows.maintain import maintain as maintain_flow
from molbuffer.flows.score_pending import score_pending as score_pending_flow
from molbuffer.lab import limit_threads

if TYPE_CHECKING:
    from molbuffer.flows.artifacts import ShownRun
    from molbuffer.flows.campaign import Campaign
    from molbuffer.lab import BufferBuilder, ScoreFailures, Training


@flow(name="build", flow_run_name=flow_run_name)
def build(parameters: BuildParameters) -> dict[str, Any]:
    """Fill the buffer once, with buffer_size molecules of each sampler; each run draws other molecules."""

    def work(shown: ShownRun, **given: Any) -> dict[str, Any]:
        from molbuffer.flows.tasks import made_by_tasks
        from molbuffer.flows.work import run_build

        return run_build(maker=shown.maker(made_by_tasks, whole_run=True), **given)

    return _endured(work, parameters)


@flow(name="train", flow_run_name=flow_run_name)
def train(parameters: TrainParameters) -> dict[str, Any]:
    """Run the campaign: fill the buffer, train on live and stored molecules, and store all that was drawn."""

    def work(shown: ShownRun, **given: Any) -> dict[str, Any]:
        from molbuffer.flows.tasks import chunk_builder, made_by_tasks
        from molbuffer.flows.work import run_online

        def builder(campaign: Campaign, training: Training, failures: ScoreFailures) -> BufferBuilder:
            return chunk_builder(campaign, training, failures, shown.maker(made_by_tasks)(campaign))

        return run_online(builder=builder, watch=shown.stepped, **given)

    return _endured(work, parameters)


@flow(name="train-offline", flow_run_name=flow_run_name)
def train_offline(parameters: OfflineParameters) -> dict[str, Any]:
    """Train a policy on stored molecules alone, and compare it with them."""

    def work(shown: ShownRun, **given: Any) -> dict[str, Any]:
        from molbuffer.flows.work import run_offline

        return run_offline(watch=shown.stepped, snapshot=parameters.snapshot, where=parameters.where, **given)

    return _endured(work, parameters)


@flow(name="score-pending", flow_run_name=flow_run_name)
def score_pending(parameters: ScorePendingParameters) -> dict[str, Any]:
    """Score the molecules of builds that did not wait for their scores, and complete their rewards."""
    try:
        with ended_after(parameters.timeout_hours):
            done: dict[str, Any] = score_pending_flow.fn(**parameters.model_dump(exclude={"timeout_hours"}))
            return done
    except OverdueError:
        if not parameters.watch:
            raise
        return {"store": parameters.store, "ended": f"{parameters.timeout_hours:g} hours"}


@flow(name="act", flow_run_name=flow_run_name)
def act(parameters: ActParameters) -> dict[str, Any]:
    """Draw and score molecules for an asynchronous training, with the policy of its newest checkpoint."""
    limit_threads()
    # This module imports torch, which reads the settings of its threads once, when it is imported.
    from molbuffer.flows.work import run_actor

    run_id = run_id_of(parameters.model_dump(include={"run_id"}), runtime.flow_run.id)
    note_run(run_id)

    def work() -> dict[str, Any]:
        return run_actor(
            parameters.store,
            parameters.learner,
            name=parameters.campaign,
            builds=parameters.builds,
            run_id=run_id,
            device=None if parameters.device == AS_CONFIGURED else parameters.device,
        )

    with ended_after(parameters.timeout_hours):
        return resumed_after_errors(work, parameters.retries)


@flow(name="maintain", flow_run_name=flow_run_name)
def maintain(parameters: MaintainParameters) -> dict[str, Any]:
    """Compact and expire a store, back its catalog up, and vacuum it, while others use it."""
    done: dict[str, Any] = maintain_flow.fn(**parameters.model_dump())
    return done


@flow(name="archive", flow_run_name=flow_run_name)
def archive(parameters: ArchiveParameters) -> dict[str, Any]:
    """Copy rows, with their provenance, into plain files that any program can read."""
    from molbuffer.storage import SampleStore

    out = dated(parameters.out)
    with SampleStore.open(Path(parameters.store)) as store:
        return asdict(store.archive(out, runs=parameters.runs, where=parameters.where)) | {"path": str(out)}


@flow(name="export", flow_run_name=flow_run_name)
def export(parameters: ExportParameters) -> dict[str, Any]:
    """Write the molecules of a store, or its history, as one file for other programs."""
    from molbuffer.storage import SampleStore

    out, molecules = dated(parameters.out), parameters.rows == "molecules"
    with SampleStore.open(Path(parameters.store), read_only=True) as store:
        return asdict(store.export(out, where=parameters.where, molecules=molecules)) | {"path": str(out)}


@flow(name="report", flow_run_name=flow_run_name)
def report(parameters: ReportParameters) -> dict[str, Any]:
    """Write a report on runs as one HTML file, which needs no network."""
    from molbuffer.pages import make_report
    from molbuffer.storage import SampleStore

    out = dated(parameters.out)
    with SampleStore.open(Path(parameters.store), read_only=True) as store:
        out.write_text(make_report(store, runs=parameters.runs), encoding="utf-8")
    show_report(out)
    return {"path": str(out), "bytes": out.stat().st_size}


@flow(name="close-dead-runs", flow_run_name=flow_run_name)
def close_dead_runs(parameters: DeadRunsParameters) -> dict[str, Any]:
    """Record the end of runs whose process died, in the store and in Prefect, and resume those with retries left."""
    return agree(parameters.store, parameters.name, resume=parameters.resume).as_dict()


def _endured(work: Callable[..., dict[str, Any]], given: CampaignParameters) -> dict[str, Any]:
    """Do the work of a campaign's flow, with its page, its time limit, and retries after transient errors.

    Args:
        work: takes the shown run, and by name the arguments of the functions of ``molbuffer.flows.work``.
        given: the values of the form.
    """
    # This comes before the import of torch, which reads the settings of its threads once.
    limit_threads()
    from molbuffer.flows.artifacts import shown_run

    refuse_missing(given.settings)
    run_id = run_id_of(given.model_dump(include={"run_id"}), runtime.flow_run.id)
    note_run(run_id)
    config = json.dumps(given.run_settings)
    with shown_run(given.store, run_id, campaign_name(given.settings)) as shown, ended_after(given.timeout_hours):
        return resumed_after_errors(
            lambda: work(shown, config=config, store=given.store, run_id=run_id, device=given.device_name),
            given.retries,
        )
