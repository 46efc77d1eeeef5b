"""Builds of the buffer as tasks: draw, standardise, filter, score and commit samples.

A task makes one chunk, all the way to the commit, and returns a receipt. It is given references (the store's path, the
run, the sampler's name, the policy's sha256) and finds the rest in the store, so that it can run in any process that
reaches the store, and so that Prefect never has to look through arrays.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import State, Task, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas import TaskRun

from molbuffer.flows.campaign import Campaign, reopen_campaign
from molbuffer.flows.tasks.build_request import BuildRequest
from molbuffer.flows.tasks.chunks import Attempt, MakeChunk, build_chunk, chunk_builder
from molbuffer.flows.tasks.retries import can_pass
from molbuffer.lab import BufferBuilder, ScoreFailures, Training, limit_threads
from molbuffer.storage import BuildReceipt, SampleStore


def _failed_for_now(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Return whether Prefect shall try a failed chunk again."""
    return can_pass(state.data)


@task(
    name="build_buffer",
    task_run_name="build_buffer-{request.iteration}-{request.sampler}-{request.chunk}",
    cache_policy=NO_CACHE,
    retries=2,
    retry_delay_seconds=1,
    retry_condition_fn=_failed_for_now,
)
def build_buffer_task(request: BuildRequest) -> dict[str, Any]:
    """Make and commit one chunk, unless an earlier attempt has; return the receipt."""
    limit_threads()
    run = runtime.task_run
    attempt = Attempt(runtime.flow_run.id, run.id, f"{run.id}/{run.run_count}")
    with SampleStore.open(Path(request.store)) as store:
        campaign = reopen_campaign(store, request.run_id, request.device, request.stage)
        return build_chunk(campaign, request, attempt).to_json()


def made_by_tasks(_campaign: Campaign) -> MakeChunk:
    """Return what makes each chunk in a task run of its own."""
    return lambda request: BuildReceipt.from_json(build_buffer_task(request))


def task_builder(campaign: Campaign, training: Training, failures: ScoreFailures) -> BufferBuilder:
    """Return a builder of the buffer of a training, by task runs with the present policy."""
    return chunk_builder(campaign, training, failures, made_by_tasks(campaign))
