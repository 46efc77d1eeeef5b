"""The work of an actor: builds of the buffer for a training in another process, until that ends."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from molbuffer.flows.campaign import Campaign, actor_run, current_run_id, find_learner
from molbuffer.lab import Actor, ActorChunk, ActorPlan, PresentPolicy, chunk_rows, publish_latents
from molbuffer.storage import SampleStore


def run_actor(
    store: str,
    learner: str | None = None,
    *,
    name: str | None = None,
    builds: int | None = None,
    run_id: str | None = None,
    device: str | None = None,
    parent_process: int | None = None,
) -> dict[str, Any]:
    """Draw for a training until it ends, and return a summary, as the flow ``act`` does.

    Args:
        store: the folder of the store.
        learner: the run of the training, or the start of its id; None is the newest running asynchronous training.
        name: the name of the training's campaign; it is used only when ``learner`` is None.
        builds: the number of builds after which the actor ends; None is no limit.
        run_id: the run of the actor, which is resumed if the store knows it; by default a new run.
        device: the device to draw on; by default that of the configuration.
        parent_process: the id of the parent process, with which the actor ends; None if it does not end with another
            process.

    Raises:
        NoLearnerError: the training does not learn from actors, or no such training is at work.
    """
    with SampleStore.open(Path(store)) as opened:
        of = find_learner(opened, learner, name)
        with actor_run(opened, of, run_id or current_run_id(), device) as campaign:
            actor = make_actor(campaign, of.run_id, parent_process)
            ending = actor.run(builds)
            opened.note_ending(campaign.run_id, ending)
        receipts = opened.receipts(campaign.run_id)
        return {
            "run_id": campaign.run_id,
            "learner": of.run_id,
            "store": store,
            "builds": len(receipts),
            "drawn": sum(receipt.drawn for receipt in receipts),
            "kept": sum(receipt.kept for receipt in receipts),
            "ended": ending,
        }


def make_actor(campaign: Campaign, learner_id: str, parent_process: int | None = None) -> Actor:
    """Return the actor for a campaign whose ``run_id`` is that of the actor's run."""
    settings = campaign.settings
    present = PresentPolicy(campaign.start)
    samplers = campaign.samplers(lambda: present.policy, lambda: present.iteration + 1)
    publish_latents(samplers, campaign.store, campaign.run_id)

    def chunks(iteration: int) -> Sequence[ActorChunk]:
        return [
            ActorChunk(number, wanted)
            for number, each in enumerate(settings.samplers)
            for wanted in chunk_rows(
                each.size.buffer_size_at(iteration), in_chunks=each.table.in_chunks, most=settings.buffer.chunk_rows
            )
        ]

    def deserted() -> bool:
        return parent_process is not None and os.getppid() != parent_process

    rates = settings.rates
    plan = ActorPlan(rates.limit, chunks, patience=60 * rates.table.wait_minutes, deserted=deserted)
    return Actor(
        context=campaign.context,
        learner_id=learner_id,
        plan=plan,
        present=present,
        samplers=samplers,
        failures=campaign.failures(),
    )
