"""Builds of the buffer as tasks: draw, standardise, filter, score and commit samples.

A task makes and commits one chunk, and returns a receipt. Its request has references (the store's path, the run, the
sampler's number, the policy's sha256) to data in the store, so that Prefect never handles arrays. If the run has
workers, these make the chunks in tasks, and the flow commits them.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from molbuffer.flows.campaign import Campaign, Workers, reopen_campaign
from molbuffer.flows.tasks.build_request import BuildRequest
from molbuffer.flows.tasks.chunks import MakeChunk, build_chunk, chunk_builder, shared_chunks
from molbuffer.flows.tasks.prefect_workers import failed_for_now, present_attempt
from molbuffer.flows.tasks.retries import RETRIES, RETRY_DELAY_SECONDS
from molbuffer.lab import BufferBuilder, ScoreFailures, Training, limit_threads
from molbuffer.storage import BuildReceipt, SampleStore

# This is no parameter of the task, since Prefect sends the parameters along with every task submitted from within it.
_WORKERS: ContextVar[Workers | None] = ContextVar("workers of the present run", default=None)


@task(
    name="build_buffer",
    task_run_name="build_buffer-{request.iteration}-{request.sampler}-{request.chunk}",
    cache_policy=NO_CACHE,
    retries=RETRIES,
    retry_delay_seconds=RETRY_DELAY_SECONDS,
    retry_condition_fn=failed_for_now,
)
def build_buffer_task(request: BuildRequest) -> dict[str, Any]:
    """Make and commit one chunk, unless an earlier attempt has done so, and return the receipt as JSON values."""
    limit_threads()
    with SampleStore.open(Path(request.store)) as store:
        campaign = reopen_campaign(store, request.run_id, request.device, request.stage)
        campaign = replace(campaign, workers=_WORKERS.get())
        return build_chunk(campaign, request, present_attempt()).to_json()


def made_by_tasks(campaign: Campaign) -> MakeChunk:
    """Return a function that makes each chunk in a task run of its own."""
    if (shared := shared_chunks(campaign)) is not None:
        return shared

    def make(request: BuildRequest) -> BuildReceipt:
        before = _WORKERS.set(campaign.workers)
        try:
            return BuildReceipt.from_json(build_buffer_task(request))
        finally:
            _WORKERS.reset(before)

    return make


def task_builder(campaign: Campaign, training: Training, failures: ScoreFailures) -> BufferBuilder:
    """Return a builder of the buffer of a training, which makes chunks in task runs with the present policy."""
    return chunk_builder(campaign, training, failures, made_by_tasks(campaign))
