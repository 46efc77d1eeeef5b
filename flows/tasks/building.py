"""Builds of the buffer as tasks: draw, standardise, filter, score and commit samples.

A task makes one chunk, all the way to the commit, and returns a receipt. It is given references (the store's path, the
run, the sampler's name, the policy's sha256) and finds the rest in the store, so that it can run in any process that
reaches the store, and so that Prefect never has to look through arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import State, Task, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas import TaskRun

from molbuffer.flows.campaign import (
    Campaign,
    ScoreFailures,
    Training,
    latent_versions,
    reopen_campaign,
    warn_of_empty,
)
from molbuffer.flows.tasks.build_request import BuildRequest, build_requests
from molbuffer.flows.tasks.retries import can_pass
from molbuffer.flows.tasks.torch_threads import limit_threads
from molbuffer.samplers import BuildSpec, SeenBefore, load_policy, make_build
from molbuffer.storage import BuildReceipt, Commit, Event, SampleStore, make_build_id
from molbuffer.training import commit_checkpoint


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
        return build_chunk(reopen_campaign(store, request.run_id, request.device), request).to_json()


def build_chunk(campaign: Campaign, request: BuildRequest) -> BuildReceipt:
    """Make and commit one chunk, unless an earlier attempt has; return the receipt."""
    store, event = campaign.store, Event.BUILD_BUFFER
    agent = load_policy(store.policies.folder(request.agent), campaign.prior.model.device)
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
    seen = SeenBefore(
        store,
        run_id=request.run_id,
        iteration=request.iteration,
        event=event,
        sampler_order=request.sampler,
        chunk=request.chunk,
    )
    spec = BuildSpec(
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
    build = make_build(sampler, spec, campaign.pipeline(seen))
    message = f"build_buffer of {sampler.name}, iteration {request.iteration}, chunk {request.chunk}"
    return store.commit(Commit(builds=[build], message=message)).builds[0]


def run_build_tasks(requests: Sequence[BuildRequest], failures: ScoreFailures) -> list[BuildReceipt]:
    """Run a task for each chunk, one after another, so that ``new`` counts each molecule where it occurs first.

    Raises:
        FailedScoresError: so many scores failed that those to come make no difference.
    """
    receipts, to_come = [], sum(request.wanted for request in requests)
    for request in requests:
        receipts.append(BuildReceipt.from_json(build_buffer_task(request)))
        to_come -= request.wanted
        failures.look(to_come)
    return receipts


@dataclass
class TaskBuilder:
    """A builder of the buffer of a training, by task runs with the present policy."""

    campaign: Campaign
    training: Training
    failures: ScoreFailures
    _published: frozenset[str] = frozenset()

    def __call__(self, iteration: int) -> Sequence[BuildReceipt]:
        """Publish the policy, so that tasks in any process can draw with it, and make every chunk."""
        learner, writer = self.training.learner, self.training.writer
        trainables, live = self.training.trainables, self.training.loader.live
        if writer.pending:
            # The metric ``new`` of what is built now must know all that was drawn before.
            commit_checkpoint(learner, self.training.loader, writer, trainables)
            self._published = self._present(iteration)
        writer.drain()
        agent = self._publish(iteration)
        latents = latent_versions(live.samplers if live is not None else ())
        requests = build_requests(self.campaign, iteration, agent, self.training.drawn, latents)
        receipts = run_build_tasks(requests, self.failures)
        self.failures.judge()
        # Rows of earlier builds may be enough for the batch; otherwise the loader ends the run.
        warn_of_empty(self.campaign, receipts)
        self.training.seen.read(iteration, Event.SAMPLE_BATCH)
        return receipts

    def _publish(self, iteration: int) -> str:
        """Keep the present policy and latents in the store, unless they are there since the last time; return the
        sha256 of the policy.
        """
        learner, trainables, store = self.training.learner, self.training.trainables, self.campaign.store
        run_id = self.training.writer.run_id
        if (present := self._present(iteration)) != self._published:
            version = learner.publish(store.policies, run_id, iteration)
            others = trainables.publish(store.policies, run_id, iteration)
            message = f"policy of run {run_id}, iteration {iteration}"
            store.commit(Commit(policies=[version, *others.values()], message=message))
            self._published = present
        return learner.policy().sha256

    def _present(self, iteration: int) -> frozenset[str]:
        """Return the sha256 of the present policy and latents."""
        run_id = self.training.writer.run_id
        versions = self.training.trainables.versions(run_id, iteration)
        return frozenset({self.training.learner.policy().sha256, *(version.sha256 for version in versions)})
