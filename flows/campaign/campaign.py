"""A campaign: the objects that settings describe, over an open store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Protocol

import torch

from molbuffer.flows.campaign.agents import AgentPlace
from molbuffer.flows.campaign.assemble import build_filters, build_objective, build_standardisation, build_template
from molbuffer.flows.campaign.flow_runs import warn
from molbuffer.flows.campaign.named_policies import check_policies, with_resolved_policies
from molbuffer.flows.campaign.resuming import accept_changes
from molbuffer.flows.campaign.samplers import build_sampler
from molbuffer.flows.campaign.sources import add_models, sources_of
from molbuffer.flows.settings import OWN_POLICIES, Override, Settings, load_settings
from molbuffer.lab import RunContext, ScoreFailures, described_run, refuse_other_sources
from molbuffer.samplers import (
    Policy,
    RunParts,
    Sampler,
    SamplerTable,
    check_stored_scores,
    derive_seed,
    find_device,
    open_policy,
    register_policy,
    report_bad_rows,
)
from molbuffer.storage import Build, Commit, PolicyVersion, Run, RunKind, RunStatus, SampleStore
from molbuffer.training import StageEndSettings


def read_settings(config: str, overrides: Sequence[Override] = ()) -> Settings:
    """Read settings from the path of a TOML file, with some values set, or from their own JSON text."""
    return Settings.from_json(config) if config.lstrip().startswith("{") else load_settings(Path(config), overrides)


class Workers(Protocol):
    """Workers that make parts of a build at the same time."""

    def score(self, campaign: Campaign, components: Sequence[str], molecules: Sequence[str]) -> None:
        """Score molecules by the components of one call, and return when the scores are stored."""


@dataclass(frozen=True)
class Campaign:
    """A run of settings on a store.

    Attributes:
        settings: the checked configuration.
        store: the open store.
        run_id: the id of the run.
        seed: the seed that all draws of the run follow from (``run_seed``).
        prior: the policy that the loss keeps the trained one close to.
        agent: the policy that training starts from; None is the prior.
        device: the name of the run's device, as the caller gave it.
        stage: the number of the stage whose settings these are; None without stages.
        stage_end: when this stage ends; None without stages.
        last_stage: whether no stage follows.
        watch: is called while the training waits for rows, and checks the actors that were started with it.
        workers: make parts of a build at the same time; None makes one part after another in this process.
        first_agent: the run of the first agent of the run's group; None for a run without a group.
    """

    settings: Settings
    store: SampleStore
    run_id: str
    seed: int
    prior: Policy
    agent: Policy | None = None
    device: str = "cpu"
    stage: int | None = None
    stage_end: StageEndSettings | None = None
    last_stage: bool = True
    watch: Callable[[], None] = lambda: None
    workers: Workers | None = None
    first_agent: str | None = None

    @property
    def start(self) -> Policy:
        """The policy that training starts from, and that is the agent in a build without training."""
        return self.agent or self.prior

    def samplers(
        self,
        agent: Callable[[], Policy],
        settled: Callable[[], int],
        latents: Mapping[str, str] | None = None,
        unsettled: Callable[[], Sequence[Build] | None] = lambda: None,
        best: Callable[[], Policy] | None = None,
    ) -> list[Sampler]:
        """Return the samplers in configuration order.

        Args:
            agent: returns the policy in training, at the time of a draw.
            settled: returns the iteration before which all rows of the run are committed.
            latents: the sha256 of the latents of samplers, by the samplers' names; a sampler without an entry starts
                with fresh latents.
            unsettled: returns the live builds since that iteration, which are not committed; None if there are none.
            best: returns the best agent of the run, at the time of a draw; None without training.
        """
        parts = RunParts(
            store=self.store,
            run_id=self.run_id,
            prior=self.prior,
            prior_name=self.settings.policy.prior,
            agent=agent,
            settled=settled,
            standardisation=build_standardisation(self.settings),
            objective_sha256=self.context.objective_sha256,
            inner_objective_sha256=self.context.objective.sha256,
            latents=latents or {},
            unsettled=unsettled,
            best=best,
        )
        return [build_sampler(settings, parts) for settings in self.settings.samplers]

    @cached_property
    def context(self) -> RunContext:
        """The run as objects, for code that does not read settings."""
        return RunContext(
            self.store,
            self.run_id,
            self.seed,
            self.prior,
            objective=build_objective(self.settings),
            standardisation=build_standardisation(self.settings),
            filters=build_filters(self.settings),
            template=build_template(self.settings),
            max_failed_share=self.settings.campaign.max_failed_share,
            agent=self.agent,
            max_oracle_calls=self.settings.campaign.max_oracle_calls,
            stage=self.stage,
            choice=None if self.settings.objective.choose is None else self.settings.objective.choose.build(),
            screening=None if self.settings.screening is None else self.settings.screening.build(),
            elsewhere=None if self.workers is None else partial(self.workers.score, self),
        )

    def failures(self, since: int = 0) -> ScoreFailures:
        """Return the failures of the run's scores in the builds from an iteration on."""
        return ScoreFailures(self.context, since, warn)

    def policy_versions(self) -> list[PolicyVersion]:
        """Return the fixed policies that the campaign draws from, as records without a parent."""
        names = {name for settings in self.settings.samplers for name in settings.table.policies}
        others = [open_policy(name, self.store) for name in sorted(names - set(OWN_POLICIES))]
        policies = {policy.sha256: policy for policy in (self.prior, self.start, *others)}
        return [PolicyVersion(sha256, policy.kind, weights_kept=True) for sha256, policy in policies.items()]

    def report_files(self) -> None:
        """Report rows of the samplers' files that are no molecules, or that the prior's vocabulary cannot express."""
        standardisation = build_standardisation(self.settings)
        report = partial(report_bad_rows, vocabulary=self.prior.vocabulary, standardisation=standardisation)
        for settings in self.settings.samplers:
            table: SamplerTable | None = settings.table
            while table is not None:
                for path, columns in table.molecule_files:
                    report(path, columns, largest_fragment=getattr(table, "largest_fragment", False))
                table = table.inner


def run_seed(settings: Settings, store: SampleStore, kind: RunKind, run_id: str) -> int:
    """Return the seed of a run: the campaign's, or for a build without training one derived from that and its run_id.

    With the campaign's seed, a scheduled build would draw the same molecules every night, and so would builds that
    start at the same time. A run that the store knows keeps its seed, so that a build that is resumed or retried draws
    the same molecules.
    """
    if kind is not RunKind.BUILD:
        return settings.campaign.seed
    known = store.read_arrow("SELECT seed FROM {runs} WHERE run_id = ?", parameters=[run_id])["seed"]
    return int(known[0].as_py()) if len(known) else derive_seed(settings.campaign.seed, "build", run_id)


def run_record(
    settings: Settings,
    store: SampleStore,
    kind: RunKind,
    run_id: str,
    *,
    snapshot: int | None = None,
    selection: str | None = None,
    agent: AgentPlace | None = None,
) -> Run:
    """Return the record of a run of a campaign in this process; ``campaign_run`` describes the arguments."""
    return described_run(
        run_id,
        settings.campaign.name,
        kind,
        settings.to_json(),
        run_seed(settings, store, kind, run_id) if agent is None else agent.seed(settings.campaign.seed),
        objective=build_objective(settings),
        pinned_snapshot=store.snapshot() if snapshot is None else snapshot,
        selection=selection,
        parent_run_id=None if agent is None else agent.parent_run_id,
    )


@contextmanager
def campaign_run(
    settings: Settings,
    store: SampleStore,
    kind: RunKind,
    run_id: str,
    *,
    snapshot: int | None = None,
    selection: str | None = None,
    device: str | None = None,
    agent: AgentPlace | None = None,
) -> Iterator[Campaign]:
    """Record a run, from its start to its end or failure, around the work on a campaign.

    Args:
        settings: the checked configuration.
        store: the open store.
        kind: the kind of run.
        run_id: the id of the run; one that the store knows is resumed.
        snapshot: the snapshot at which the run reads rows of other runs; by default the present one.
        selection: the rows that an offline training reads, as JSON.
        device: the device to draw and learn on; None is that of the settings. It is no part of the run's record, so
            that a run can be resumed on another one.
        agent: the place of the run in a group of agents; None for a run without a group.

    Raises:
        DeviceError: this machine has no such device.
    """
    device = device or settings.campaign.device
    found = find_device(device)
    add_models(settings)
    settings = with_resolved_policies(settings, store, run_id)
    settings = settings.with_stored_policies(lambda folder: register_policy(Path(folder), store))
    check_policies(settings, store)
    run = run_record(settings, store, kind, run_id, snapshot=snapshot, selection=selection, agent=agent)
    prior, start = _open_policies(settings, store, found)
    campaign = Campaign(
        settings=settings,
        store=store,
        run_id=run_id,
        seed=run.seed,
        prior=prior,
        agent=start,
        device=device,
        first_agent=None if agent is None else agent.first,
    )
    sources = sources_of(settings, [version.kind for version in campaign.policy_versions()])
    refuse_other_sources(store, run_id, sources)
    run = replace(run, libraries={**run.libraries, **sources})
    with store.recorded_run(run, accept=accept_changes(store, run)) as status:
        if status is RunStatus.STARTED:
            campaign.report_files()
        if kind is not RunKind.OFFLINE:
            check_stored_scores(build_objective(settings), store)
        store.commit(Commit(policies=campaign.policy_versions(), message=f"policies of run {run_id}"))
        yield campaign


def reopen_campaign(store: SampleStore, run_id: str, device: str | None = None, stage: int | None = None) -> Campaign:
    """Return the campaign of a started run, from its record in the store.

    Args:
        store: the open store.
        run_id: the id of the run.
        device: the name of the device to draw on; None is that of the settings.
        stage: the number of the stage of the run; None without stages.

    Raises:
        DeviceError: this machine has no such device.
    """
    run = store.run(run_id)
    settings = Settings.from_json(run.config)
    add_models(settings)
    if stage is not None:
        settings = settings.of_stage(stage)
    device = device or settings.campaign.device
    prior, agent = _open_policies(settings, store, find_device(device))
    return Campaign(
        settings=settings,
        store=store,
        run_id=run_id,
        seed=run.seed,
        prior=prior,
        agent=agent,
        device=device,
        stage=stage,
    )


def _open_policies(settings: Settings, store: SampleStore, device: torch.device) -> tuple[Policy, Policy | None]:
    """Return the prior, and the policy that training starts from; None instead of the latter if it is the prior."""
    prior, agent = open_policy(settings.policy.prior, store, device), settings.policy.agent
    return prior, None if agent is None else open_policy(agent, store, device)
