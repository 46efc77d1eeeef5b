"""Builds of the buffer as tasks: draw, standardise, filter, score and commit samples.

A task makes one chunk, all the way to the commit, and returns a receipt. It is given references (the store's path, the
run, the sampler's name, the policy's sha256) and finds the rest in the store, so that it can run in any process that
reaches the store, and so that Prefect never has to look through arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from prefect import State, Task, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas import TaskRun

from molbuffer.flows.campaign import Campaign, reopen_campaign
from molbuffer.flows.tasks.build_request import BuildRequest, build_requests
from molbuffer.flows.tasks.retries import can_pass
from molbuffer.lab import BufferBuilder, Chunk, ScoreFailures, Training, commit_chunk, limit_threads
from molbuffer.samplers import load_policy
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
    with SampleStore.open(Path(request.store)) as store:
        return build_chunk(reopen_campaign(store, request.run_id, request.device, request.stage), request).to_json()


def build_chunk(campaign: Campaign, request: BuildRequest) -> BuildReceipt:
    """Make and commit one chunk, unless an earlier attempt has; return the receipt."""
    agent = load_policy(campaign.store.policies.folder(request.agent), campaign.prior.model.device)
    # All that the run drew in earlier iterations is committed when its buffer is built.
    sampler = campaign.samplers(lambda: agent, lambda: request.iteration, request.latents)[request.sampler]
    chunk = Chunk(
        request.iteration,
        request.sampler,
        request.chunk,
        request.wanted,
        drawn_before=request.drawn_before,
        flow_run_id=runtime.flow_run.id,
        task_run_id=runtime.task_run.id,
        attempt_id=f"{runtime.task_run.id}/{runtime.task_run.run_count}",
        asked=request.asked,
    )
    return commit_chunk(campaign.context, sampler, chunk)


def run_build_tasks(
    requests: Sequence[BuildRequest],
    failures: ScoreFailures,
    make: Callable[[BuildRequest], BuildReceipt] = lambda request: BuildReceipt.from_json(build_buffer_task(request)),
) -> list[BuildReceipt]:
    """Make each chunk, by default in a task run, one after another, so that ``new`` counts each molecule where it
    occurs first, and the budget of oracle calls is kept to the molecule.

    Raises:
        FailedScoresError: so many scores failed that those to come make no difference.
    """
    receipts, to_come = [], sum(request.wanted for request in requests)
    for request in requests:
        receipts.append(make(request))
        to_come -= request.wanted
        failures.look(to_come)
    return receipts


def task_builder(campaign: Campaign, training: Training, failures: ScoreFailures) -> BufferBuilder:
    """Return a builder of the buffer of a training, by task runs with the present policy."""
    return _builder(campaign, training, failures, run_build_tasks)


def local_builder(campaign: Campaign, training: Training, failures: ScoreFailures) -> BufferBuilder:
    """Return a builder of the buffer of a training, in this process and without Prefect."""
    return _builder(campaign, training, failures, partial(run_build_tasks, make=partial(build_chunk, campaign)))


def _builder(
    campaign: Campaign,
    training: Training,
    failures: ScoreFailures,
    run: Callable[[Sequence[BuildRequest], ScoreFailures], list[BuildReceipt]],
) -> BufferBuilder:
    def make_chunks(iteration: int, agent: str, latents: Mapping[str, str], asked: Sequence[str]) -> list[BuildReceipt]:
        return run(build_requests(campaign, iteration, agent, training.drawn, latents, asked), failures)

    return BufferBuilder(training, failures, make_chunks)
