"""The flows that deployments run: those of the campaign with a form each, retries that resume, and an end.

They are named by module, so that a worker finds them wherever it was started. Each has one parameter, a model.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prefect import flow, runtime

from molbuffer.flows.build_buffer import build as build_flow
from molbuffer.flows.deployments.attempts import ended_after, resumed_after_errors
from molbuffer.flows.deployments.dead_runs import agree, note_run
from molbuffer.flows.deployments.local_files import refuse_missing
from molbuffer.flows.deployments.names import flow_run_name, run_id_of
from molbuffer.flows.deployments.outputs import dated
from molbuffer.flows.deployments.parameters import (
    ArchiveParameters,
    BuildParameters,
    CampaignParameters,
    DeadRunsParameters,
    ExportParameters,
    MaintainParameters,
    OfflineParameters,
    TrainParameters,
)
from molbuffer.flows.maintain import maintain as maintain_flow
from molbuffer.flows.train import train as train_flow
from molbuffer.flows.train_offline import train_offline as offline_flow


@flow(name="build", flow_run_name=flow_run_name)
def build(parameters: BuildParameters) -> dict[str, Any]:
    """Fill the buffer once, with buffer_size molecules of each sampler; each run draws other molecules."""
    return _endured(build_flow.fn, parameters)


@flow(name="train", flow_run_name=flow_run_name)
def train(parameters: TrainParameters) -> dict[str, Any]:
    """Run the campaign: fill the buffer, train on live and stored molecules, and store all that was drawn."""
    return _endured(train_flow.fn, parameters)


@flow(name="train-offline", flow_run_name=flow_run_name)
def train_offline(parameters: OfflineParameters) -> dict[str, Any]:
    """Train a policy on stored molecules alone, and set it beside them."""
    return _endured(offline_flow.fn, parameters, snapshot=parameters.snapshot, where=parameters.where)


@flow(name="maintain", flow_run_name=flow_run_name)
def maintain(parameters: MaintainParameters) -> dict[str, Any]:
    """Compact and expire a store, back its catalog up, and vacuum it, while others use it."""
    done: dict[str, Any] = maintain_flow.fn(**parameters.model_dump())
    return done


@flow(name="archive", flow_run_name=flow_run_name)
def archive(parameters: ArchiveParameters) -> dict[str, Any]:
    """Copy rows, with their provenance, into plain files that can be kept, passed on and read anywhere."""
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


@flow(name="close-dead-runs", flow_run_name=flow_run_name)
def close_dead_runs(parameters: DeadRunsParameters) -> dict[str, Any]:
    """Record the end of runs whose process is gone, in the store and in Prefect, and resume those with retries left."""
    return agree(parameters.store, parameters.name, resume=parameters.resume).as_dict()


def _endured(work: Any, given: CampaignParameters, **more: Any) -> dict[str, Any]:
    """Do what a flow of a campaign does, for its form: within its hours, and again after an error that can pass."""
    refuse_missing(given.settings)
    run_id = run_id_of(given.model_dump(include={"run_id"}), runtime.flow_run.id)
    note_run(run_id)

    def once() -> dict[str, Any]:
        done: dict[str, Any] = work(
            json.dumps(given.settings), given.store, run_id=run_id, device=given.device_name, **more
        )
        return done

    with ended_after(given.timeout_hours):
        return resumed_after_errors(once, given.retries)
