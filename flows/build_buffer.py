"""build_buffer: draw, standardise, filter, score and commit samples for the buffer.

The task makes one chunk, all the way to the commit, and returns a receipt. It is given references (the store's path,
the run, the sampler's name, the policy's sha256) and finds the rest in the store, so that it can run in any process
that reaches the store, and so that Prefect never has to look through arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect import State, Task, flow, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas import TaskRun

from molbuffer.flows.campaign.campaign import Campaign, campaign_run, read_settings, reopen_campaign
from molbuffer.flows.campaign.latents import publish_latents
from molbuffer.flows.campaign.run_identity import current_run_id
from molbuffer.flows.tasks.build_request import BuildRequest, build_requests
from molbuffer.flows.tasks.retries import can_pass
from molbuffer.samplers.builds.build import Slot, make_build
from molbuffer.samplers.builds.seen import SeenBefore
from molbuffer.samplers.policies.policy import load_policy
from molbuffer.storage import SampleStore
from molbuffer.storage.records import BuildReceipt, Commit, Event, RunKind, make_build_id


def _failed_for_now(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether Prefect shall try a failed chunk again."""
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
    """Makes and commits one chunk, unless an earlier attempt has; returns the receipt."""
    with SampleStore.open(Path(request.store)) as store:
        return build_chunk(reopen_campaign(store, request.run_id), request).to_json()


def build_chunk(campaign: Campaign, request: BuildRequest) -> BuildReceipt:
    """Makes and commits one chunk, unless an earlier attempt has."""
    store, event = campaign.store, Event.BUILD_BUFFER
    agent = load_policy(store.policies.folder(request.agent))
    # All that the run drew in earlier iterations is committed when its buffer is built.
    sampler = campaign.samplers(lambda: agent, lambda: request.iteration, request.latents)[request.sampler]
    *earlier, build_id = (
        make_build_id(request.run_id, request.iteration, event, sampler.name, chunk)
        for chunk in range(request.chunk + 1)
    )
    receipts = {
        each.build_id: each for each in store.receipts(request.run_id, iteration=request.iteration, event=event)
    }
    if build_id in receipts:
        return receipts[build_id]
    seen = SeenBefore(store, request.run_id, request.iteration, event, request.sampler, request.chunk)
    slot = Slot(
        run_id=request.run_id,
        iteration=request.iteration,
        event=event,
        sampler_order=request.sampler,
        wanted=request.wanted,
        campaign_seed=campaign.seed,
        chunk=request.chunk,
        flow_run_id=runtime.flow_run.id,
        task_run_id=runtime.task_run.id,
        attempt_id=f"{runtime.task_run.id}/{runtime.task_run.run_count}",
        drawn_before=request.drawn_before + sum(receipts[each].drawn for each in earlier if each in receipts),
    )
    build = make_build(sampler, slot, campaign.pipeline(seen))
    message = f"build_buffer of {sampler.name}, iteration {request.iteration}, chunk {request.chunk}"
    return store.commit(Commit(builds=[build], message=message)).builds[0]


def run_build_tasks(requests: Sequence[BuildRequest]) -> list[BuildReceipt]:
    """One task run a chunk, one after the other, so that ``new`` counts each molecule where it occurs first."""
    return [BuildReceipt.from_json(build_buffer_task(request)) for request in requests]


@flow(name="build_buffer", validate_parameters=False)
def build(config: str, store: str) -> dict[str, Any]:
    """Fills the buffer once with what every sampler's ``buffer_size`` asks for; each time with other draws.

    Args:
        config: the path of a TOML file, or the settings as JSON.
        store: the folder of the store; made when it does not exist.
    """
    settings = read_settings(config)
    with (
        SampleStore.open_or_create(Path(store)) as sample_store,
        campaign_run(settings, sample_store, RunKind.BUILD, current_run_id()) as campaign,
    ):
        samplers = campaign.samplers(lambda: campaign.prior, lambda: 0)
        latents = publish_latents(samplers, sample_store, campaign.run_id)
        receipts = run_build_tasks(build_requests(campaign, 0, campaign.prior.sha256, latents=latents))
        failed = campaign.failed_scores
    return {
        "run_id": campaign.run_id,
        "store": store,
        "drawn": sum(receipt.drawn for receipt in receipts),
        "kept": sum(receipt.kept for receipt in receipts),
        "failed_scores": failed,
        "builds": [receipt.to_json() for receipt in receipts],
    }
