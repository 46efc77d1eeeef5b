"""The record of a run from Python in the store, from its start to its end, failure or interruption."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, asdict, dataclass, replace
from typing import Any

from molbuffer.kinds import refuse_class, shown, source_sha256
from molbuffer.lab.context import RunContext
from molbuffer.lab.ctrl_c import kept_ctrl_c
from molbuffer.lab.given import described, refuse_other_sources
from molbuffer.lab.provenance import described_run
from molbuffer.samplers import (
    OF_RUN,
    Policy,
    Scorer,
    check_stored_scores,
    derive_seed,
    find_device,
    open_policy,
    policy_files,
    policy_of_run,
)
from molbuffer.scoring import (
    Choice,
    ContrastiveTemplate,
    Filter,
    Objective,
    Screening,
    SingleComponent,
    Standardisation,
    Valence,
)
from molbuffer.storage import (
    Commit,
    PolicyVersion,
    Run,
    RunConflictError,
    RunKind,
    RunStatus,
    SampleStore,
    StoreModeError,
)

_SHOWN = 200
"""The most characters of a value in a message."""


@dataclass(frozen=True)
class RunPlan:
    """The settings of a run, which must be the same again when the run is resumed.

    Attributes:
        name: the name of the run, for people.
        kind: the kind of the run.
        objective: the objective of the rewards.
        policy: the policy that the loss keeps the trained policy close to: an object, or its name.
        agent: the policy that the training starts from; None is ``policy``.
        device: the device of policies that are given by name; a policy that is an object stays on its device.
        seed: the seed of all draws; None derives it from the id of the run.
        filters: the filters in their order, after the filter ``Valence`` unless that is among them.
        standardisation: how drawn strings become molecules; None is the default of a campaign, which cuts salts down
            to their largest fragment unless a filter refuses them.
        template: the rule of which pairs are kept, and their rewards; None keeps all pairs.
        max_failed_share: the largest share of molecules whose score may have failed, in [0, 1].
        choice: the rule that chooses the molecules to score among more candidates; None scores all kept molecules.
        screening: the settings of screening, which chooses the molecules to score by a model; None does not screen.
        resume: the id of the run to go on with, or its start; None is a new run.
    """

    name: str
    kind: RunKind
    objective: Objective
    _: KW_ONLY
    policy: Policy | str = "zinc-gru"
    agent: Policy | str | None = None
    device: str = "cpu"
    seed: int | None = None
    filters: Sequence[Filter] = ()
    standardisation: Standardisation | None = None
    template: ContrastiveTemplate | None = None
    max_failed_share: float = 0.5
    choice: Choice | None = None
    screening: Screening | None = None
    resume: str | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        check_objective(self.objective)
        for name in ("policy", "agent"):
            value = getattr(self, name)
            if not isinstance(value, (Policy, str)) and not (value is None and name == "agent"):
                raise TypeError(f"{name}: expected a Policy, or the name of one, got {shown(value)}")
        if self.seed is not None and (not isinstance(self.seed, int) or isinstance(self.seed, bool)):
            raise TypeError(f"seed: expected a whole number or None, got {shown(self.seed)}")
        check_filters(self.filters)
        if not isinstance(self.standardisation, Standardisation | None):
            raise TypeError(f"standardisation: expected a Standardisation, got {shown(self.standardisation)}")
        if not isinstance(self.screening, Screening | None):
            raise TypeError(f"screening: expected Screening(...), got {shown(self.screening)}")
        if self.screening is not None and self.choice is not None:
            raise ValueError("choose, screening: give one of them, since each chooses the molecules that are scored")
        if not isinstance(self.template, ContrastiveTemplate | None):
            raise TypeError(f"template: expected a ContrastiveTemplate, got {shown(self.template)}")

    def all_filters(self) -> tuple[Filter, ...]:
        """Return the filters, with ``Valence`` first unless it is among them."""
        return with_valence(self.filters)

    def full_standardisation(self) -> Standardisation:
        """Return the standardisation, or the default of a campaign if it is None."""
        if self.standardisation is not None:
            return self.standardisation
        return Standardisation(largest_fragment=not any(isinstance(each, SingleComponent) for each in self.filters))


@contextmanager
def started_run(
    plan: RunPlan, store: SampleStore, *, snapshot: int | None = None, selection: str | None = None
) -> Iterator[tuple[RunContext, RunStatus]]:
    """Record a run as a context: started or resumed, then finished, failed or interrupted.

    Args:
        plan: the settings of the run.
        store: the open store.
        snapshot: the snapshot at which the run reads rows of other runs; None is the present one.
        selection: the rows that an offline training reads, as JSON.

    Yields:
        The context of the run, and its status: STARTED, or RESUMED for a run that is gone on with.

    Raises:
        RunConflictError: the run to go on with began with other settings, or the source of a class has changed.
        StoreModeError: the store is open for reading only.
        UnknownRunError: there is no run to go on with.
    """
    if store.read_only:
        raise StoreModeError(f"{store.path} is open for reading only, but a run writes: open it without read_only")
    known = None if plan.resume is None else store.run(plan.resume)
    prior = _kept_policy("policy", plan.policy, store, plan.device, known)
    agent = None if plan.agent is None else _kept_policy("agent", plan.agent, store, plan.device, known)
    run_id = uuid.uuid4().hex if known is None else known.run_id
    seed = plan.seed
    if seed is None:
        seed = derive_seed(0, "run", run_id) if known is None else known.seed
    record = described_run(
        run_id,
        plan.name,
        plan.kind,
        json.dumps(_description(plan, prior, agent), sort_keys=True),
        seed,
        objective=plan.objective,
        pinned_snapshot=store.snapshot() if snapshot is None else snapshot,
        selection=selection,
    )
    sources = _sources(plan, prior, agent)
    record = replace(record, libraries={**record.libraries, **sources})
    if known is not None:
        _refuse_other(known, record)
        refuse_other_sources(store, run_id, sources)
    context = RunContext(
        store,
        run_id,
        seed,
        prior,
        objective=plan.objective,
        standardisation=plan.full_standardisation(),
        filters=plan.all_filters(),
        template=plan.template,
        max_failed_share=plan.max_failed_share,
        agent=agent,
        choice=plan.choice,
        screening=plan.screening,
    )
    try:
        with kept_ctrl_c(), store.recorded_run(record) as status:
            if plan.kind is not RunKind.OFFLINE:
                check_stored_scores(plan.objective, store)
            fixed = {policy.sha256: policy for policy in (prior, context.start)}
            versions = [PolicyVersion(sha256, policy.kind, weights_kept=True) for sha256, policy in fixed.items()]
            store.commit(Commit(policies=versions, message=f"policies of run {run_id}"))
            yield context, status
    except BaseException as error:
        error.add_note(f"The rows and scores of run {run_id} are kept; go on with it by resume={run_id!r}.")
        raise


@contextmanager
def scoring_run(plan: RunPlan, store: SampleStore, run_id: str) -> Iterator[Scorer]:
    """Yield a scorer that stores its scores as those of a run; with a store open for reading only, it stores none.

    Raises:
        StaleScoresError: a component computes other scores now than the stored ones.
    """
    if store.read_only:
        yield Scorer(plan.objective)
        return
    check_stored_scores(plan.objective, store)
    config = json.dumps(_description(plan, None), sort_keys=True)
    record = described_run(run_id, plan.name, plan.kind, config, plan.seed or 0, objective=plan.objective)
    with store.recorded_run(record):
        yield Scorer(plan.objective, store, run_id)


def check_name(name: object) -> None:
    """Check that the name of a run is a text.

    Raises:
        TypeError: the name is not a text.
    """
    if not isinstance(name, str):
        raise TypeError(f"name: expected the name of the run, a text, got {shown(name)}")


def check_objective(objective: object) -> None:
    """Check that an object is an objective.

    Raises:
        TypeError: the object is not an ``Objective``.
    """
    if not isinstance(objective, Objective):
        raise TypeError(
            f"objective: expected an Objective, such as Objective([QED()]), got {shown(objective)}: put components "
            "into Objective([...])"
        )


def with_valence(filters: Sequence[Filter]) -> tuple[Filter, ...]:
    """Return filters, with ``Valence`` first unless it is among them."""
    given = tuple(filters)
    return given if any(isinstance(each, Valence) for each in given) else (Valence(), *given)


def check_filters(filters: object) -> None:
    """Check that an object is a sequence of filters.

    Raises:
        TypeError: the object is not a sequence, or one of its items is not a filter.
    """
    if not isinstance(filters, Sequence) or isinstance(filters, str):
        raise TypeError(f"filters: expected a list of filters, got {shown(filters)}")
    for each in filters:
        refuse_class("a filter", each)
        if not hasattr(each, "name") or not callable(getattr(each, "accepts", None)):
            raise TypeError(f"filters: expected objects with a name and a method accepts, got {shown(each)}")


def _sources(plan: RunPlan, prior: Policy, agent: Policy | None) -> dict[str, str]:
    """Return the sha256 of the source of each class of another package in a run, by family and name."""
    found: dict[str, str] = {}
    for part in plan.objective.components:
        # For a component that a configuration names, the source is also part of its version.
        described("components", getattr(part.component, "component", part.component), found)
        described("transforms", part.transform, found)
    described("filters", plan.all_filters(), found)
    described("filters", plan.template, found)
    described("choices", plan.choice, found)
    described("screening", plan.screening, found)
    for policy in (prior, agent):
        if policy is not None and (sha256 := source_sha256(policy.model)) is not None:
            found[f"models {policy.kind}"] = sha256
    return found


def _kept_policy(key: str, policy: Policy | str, store: SampleStore, device: str, known: Run | None) -> Policy:
    """Return a policy, and store its files.

    For a resumed run, "run:RUN_ID" is the policy that was the last of RUN_ID when the resumed run began.
    """
    if isinstance(policy, str):
        if policy.startswith(OF_RUN):
            began = None if known is None else json.loads(known.config).get(key)
            policy = policy_of_run(store, policy, began)
        return open_policy(policy, store, find_device(device))
    store.policies.add(policy_files(policy.model, policy.vocabulary))
    return policy


def _description(plan: RunPlan, prior: Policy | None, agent: Policy | None = None) -> dict[str, Any]:
    """Return the settings that the draws and rewards of a run depend on, as JSON values."""
    components = {
        each.component.name: {
            "kind": each.component.kind,
            "version": each.component.version,
            "weight": each.weight,
            "transform": each.transform.settings(),
            **({} if each.gate is None else {"after": each.gate.text, "otherwise": each.otherwise}),
            **({"pessimism": each.pessimism} if each.pessimism else {}),
        }
        for each in plan.objective.components
    }
    return {
        "policy": None if prior is None else prior.sha256,
        "agent": None if agent is None else agent.sha256,
        "objective": {"aggregation": str(plan.objective.aggregation), "components": components}
        | ({} if plan.objective.reference is None else {"sha256": plan.objective.sha256}),
        "filters": [repr(each) for each in plan.all_filters()],
        "standardisation": asdict(plan.full_standardisation()),
        "template": None if plan.template is None else repr(plan.template),
        "choose": described("choices", plan.choice, {}),
        "screening": described("screening", plan.screening, {}),
    }


def _refuse_other(known: Run, wanted: Run) -> None:
    """Check that a run that is resumed has the settings that it began with.

    Raises:
        RunConflictError: a setting differs; the message names it.
    """
    began, now = (_comparable(run) for run in (known, wanted))
    for name in sorted(began.keys() | now.keys()):
        if began.get(name) != now.get(name):
            raise RunConflictError(
                f"run {known.run_id} began with {name} = {_shown(began.get(name))}, got {_shown(now.get(name))}: "
                "resume it with the same settings, or begin another run"
            )


def _comparable(run: Run) -> Mapping[str, Any]:
    config: Mapping[str, Any] = json.loads(run.config)
    return {**config, "name": run.name, "kind": run.kind.value, "seed": run.seed}


def _shown(value: object) -> str:
    text = json.dumps(value, sort_keys=True)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
