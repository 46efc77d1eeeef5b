"""The work of an online training: builds of the buffer, and batches that mix live and stored samples by ``p_batch``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from molbuffer.flows.campaign import (
    AgentPlace,
    MakeBuilder,
    Watch,
    campaign_run,
    current_run_id,
    progress_bar,
    read_settings,
    run_logs,
    train_stages,
)
from molbuffer.flows.settings import ASYNC
from molbuffer.flows.tasks import opened_workers
from molbuffer.flows.work.local_actors import local_actors
from molbuffer.flows.work.local_agents import LocalAgents, local_agents
from molbuffer.storage import RunKind, SampleStore
from molbuffer.training import FitProgress


def run_online(
    config: str,
    store: str,
    builder: MakeBuilder,
    *,
    run_id: str | None = None,
    device: str | None = None,
    watch: Watch | None = None,
    agent: AgentPlace | None = None,
) -> dict[str, Any]:
    """Do the work of the flow ``train``, and return its result.

    Args:
        config: the path of a TOML file, or the settings as JSON.
        store: the folder of the store.
        builder: returns the builder of the buffer of a training: ``task_builder`` or ``local_builder``.
        run_id: the run to resume; by default a new run.
        device: the device to draw and learn on; by default that of the configuration.
        watch: is called after each iteration.
        agent: the place of a run that another run has started as an agent; None for any other run, which starts its
            further agents itself.
    """
    settings, run = read_settings(config), run_id or current_run_id()
    starts_agents = agent is None and settings.campaign.agents > 1
    place = AgentPlace(run) if starts_agents else agent
    with (
        SampleStore.open_or_create(Path(store)) as sample_store,
        run_logs(settings, sample_store) as logs,
        local_actors(Path(store)) as actors,
        local_agents(Path(store)) as agents,
        opened_workers(settings.runner) as workers,
        campaign_run(
            settings,
            sample_store,
            RunKind.TRAIN,
            run,
            snapshot=_pinned(sample_store, agent),
            device=device,
            agent=place,
        ) as campaign,
    ):
        logs.follow(campaign.run_id)
        if campaign.settings.training.mode == ASYNC:
            actors.start(campaign)
            campaign = replace(campaign, watch=actors.watch)
        if starts_agents:
            agents.start(campaign)
        with progress_bar(f"training {settings.campaign.name}", _looking_after(agents, watch)) as report:
            training, ending = train_stages(replace(campaign, workers=workers), builder, report)
        agents.wait()
        learner, loader = training.learner, training.loader
        return {
            "run_id": campaign.run_id,
            "store": store,
            "policy": learner.policy().sha256,
            "iterations": loader.iteration,
            "oracle_calls": None if training.calls is None else training.calls.count,
            "ended": None if ending is None else ending.reason,
            "failed_scores": campaign.context.failed_scores,
            "snapshot": sample_store.snapshot(),
            **({"agents": [run, *agents.run_ids]} if starts_agents else {}),
        }


def _pinned(store: SampleStore, agent: AgentPlace | None) -> int | None:
    """Return the snapshot that the first agent has pinned, so that all agents read the same rows of other runs."""
    return None if agent is None or agent.number == 0 else store.run(agent.first).pinned_snapshot


def _looking_after(agents: LocalAgents, watch: Watch | None) -> Watch:
    def report(progress: FitProgress) -> None:
        agents.watch()
        if watch is not None:
            watch(progress)

    return report
