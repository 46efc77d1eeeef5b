"""The work of a pretraining: train a prior on a file of molecules or pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from molbuffer.flows.campaign import (
    PretrainRequest,
    check_request,
    current_run_id,
    prepare_pretraining,
    register,
    step_bar,
)
from molbuffer.storage import SampleStore
from molbuffer.training import pretrain


def run_pretraining(request: PretrainRequest, run_id: str | None = None) -> dict[str, Any]:
    """Do the work of the flow ``pretrain_prior``, and return its result."""
    # An unusable file is reported before a store is made.
    data = check_request(request)
    with SampleStore.open_or_create(Path(request.store)) as store:
        training = prepare_pretraining(request, store, run_id or current_run_id(), data)
        with store.recorded_run(training.run):
            before = training.before(request)
            with step_bar("pretraining") as report:
                nll = pretrain(
                    training.model,
                    training.data.corpus,
                    request.settings,
                    loss=training.loss,
                    checkpoints=training.checkpoints,
                    progress=report,
                )
            more = {} if before is None else before.compared_with(training.model, request.settings.batch_size)
            sha256, metrics = register(training, request, {"held_out_nll": nll, **more})
    return {"policy": sha256, "run_id": training.run.run_id, **metrics}
