"""The policies, latents and runs that a configuration names, looked up in a store.

This module does not import torch at once, so that a wrong name is reported before a server is started or a model is
loaded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from molbuffer.flows.settings import (
    OWN_POLICIES,
    ConfigurationError,
    KeyPath,
    Problem,
    Settings,
    bundled_names,
    marked,
    tables,
)
from molbuffer.kinds import PolicyName
from molbuffer.samplers import (
    OF_RUN,
    LatentSamplerTable,
    PriorSamplerTable,
    SamplerTable,
    last_policy,
    policy_of_run,
)
from molbuffer.storage import SampleStore, StoreError, UnknownPolicyError, UnknownRunError

_LATENT_KEYS = ("learnt_prior", "learnt_latents")
_OWN_RUNS = ("own", "all")
_CONFIG, _VOCABULARY = "config.json", "vocabulary.json"


def unknown_names(settings: Settings, store: SampleStore | None, place: Path) -> list[Problem]:
    """Return the policies, latents and runs of a configuration that a store does not have.

    Args:
        settings: the configuration.
        store: the store; None if it does not exist yet.
        place: the folder of the store, for messages.
    """
    data = json.loads(settings.to_json())
    problems = []
    for path, name in _names(data):
        try:
            _look_up(path, name, store, place)
        except StoreError as error:
            problems.append(Problem(path, str(error)))
    if not problems:
        problems += unfit_policies(settings if store is None else with_resolved_policies(settings, store, None), store)
    return problems


def check_policies(settings: Settings, store: SampleStore) -> None:
    """Refuse policies that do not fit each other or the samplers, before any of them is loaded.

    Raises:
        ConfigurationError: the configuration names such policies.
    """
    if problems := unfit_policies(settings, store):
        raise ConfigurationError("the configuration", problems)


def with_resolved_policies(settings: Settings, store: SampleStore, run_id: str | None) -> Settings:
    """Return settings in which each policy named by its run (``run:ID``) is named by its sha256 instead.

    A resumed run keeps the policy that it began with, even if the other run has published newer policies since.

    Args:
        settings: the configuration.
        store: the store with the other run.
        run_id: the run of the configuration; None, or one that the store does not know, is a new run.

    Raises:
        UnknownRunError: the store does not have the other run.
        UnknownPolicyError: the other run has published no policy.
    """
    named = {key: name for key, name in settings.policy if isinstance(name, str) and name.startswith(OF_RUN)}
    if not named:
        return settings
    begun = _policies_of_run(store, run_id) if run_id is not None else {}
    found = {}
    for key, name in named.items():
        found[key] = policy_of_run(store, name, begun.get(key))
    return settings.model_copy(update={"policy": settings.policy.model_copy(update=found)})


def found_policy(name: str, store: SampleStore | None, place: Path) -> str:
    """Check that a policy exists, bundled, in a folder or in a store, and return its name.

    Of a policy that is named by its run (``run:ID``), return the sha256.

    Raises:
        UnknownRunError: the store does not have the run.
        UnknownPolicyError: no policy has this name.
    """
    _look_up(("policy",), name, store, place)
    return last_policy(store, name.removeprefix(OF_RUN)) if store is not None and name.startswith(OF_RUN) else name


def _names(data: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield the names of policies, latents and runs in a configuration, each with the path of its key."""
    for table in tables(data, Settings):
        for path, name, _ in marked(table, PolicyName):
            if path[0] == "policy" or name not in OWN_POLICIES:
                yield path, name
        for key in _LATENT_KEYS:
            if isinstance(learnt := table.data.get(key), str):
                yield (*table.path, key), learnt
        runs = table.data.get("runs")
        for i, name in enumerate(runs if isinstance(runs, list | tuple) else ()):
            if name not in _OWN_RUNS:
                yield (*table.path, "runs", i), name


def _look_up(path: tuple[str | int, ...], name: str, store: SampleStore | None, place: Path) -> None:
    """Check that a name exists.

    Raises:
        UnknownRunError: the store does not have the run.
        UnknownPolicyError: no policy or latents have this name.
    """
    of_run = name.startswith(OF_RUN) and path[0] == "policy"
    if "runs" in path or of_run:
        if store is None:
            raise UnknownRunError(f"there is no store yet at {place} that could have the run {name!r}")
        if of_run:
            last_policy(store, name.removeprefix(OF_RUN))
        else:
            store.run(name)
    elif path[-1] in _LATENT_KEYS or not (name in bundled_names() or (Path(name) / _CONFIG).is_file()):
        if store is None:
            known = ", ".join(bundled_names())
            raise UnknownPolicyError(
                f"{name!r} is no bundled policy ({known}) and no folder of one, and there is no store yet at {place} "
                "that could keep it"
            )
        store.policies.resolve(name)


def _unequal_vocabularies(settings: Settings, store: SampleStore | None) -> list[Problem]:
    agent, prior = settings.policy.agent, settings.policy.prior
    if agent is None or agent == prior:
        return []
    # The vocabulary of a model of another library is known only after its conversion, and that of a stored policy only
    # with the store.
    tokens = [_content(name, _VOCABULARY, store) for name in (agent, prior)]
    if None not in tokens and tokens[0] != tokens[1]:
        message = (
            f"{agent} has another vocabulary than the prior {prior}, so that their likelihoods cannot be compared: "
            "start from a policy that was trained from this prior, or name the prior that the agent was trained from"
        )
        return [Problem(("policy", "agent"), message)]
    kinds = [(_content(name, _CONFIG, store) or {}).get("kind") for name in (agent, prior)]
    if None not in kinds and kinds[0] != kinds[1] and _draw_under_others(*kinds):
        message = (
            f"{agent} is a {kinds[0]} and the prior {prior} a {kinds[1]}: they draw under different conditions, so "
            "that their likelihoods cannot be compared; take two policies of one kind"
        )
        return [Problem(("policy", "agent"), message)]
    return []


def unfit_policies(settings: Settings, store: SampleStore | None) -> list[Problem]:
    """Return the problems of policies that do not fit each other, or the samplers that draw from them.

    Args:
        settings: the configuration.
        store: the store that has the policies; without one, only bundled policies and folders are checked.
    """
    problems = _unequal_vocabularies(settings, store)
    for i, sampler in enumerate(settings.samplers):
        table: SamplerTable | None = sampler.table
        path: KeyPath = ("samplers", i)
        while table is not None:
            if isinstance(table, (PriorSamplerTable, LatentSamplerTable)):
                problems += _without_latents(settings, store, (*path, "policy"), table.policy)
            table, path = table.inner, (*path, "base_sampler")
    return problems


def _without_latents(settings: Settings, store: SampleStore | None, path: KeyPath, policy: str) -> list[Problem]:
    named = settings.policy
    name = {"agent": named.agent or named.prior, "prior": named.prior}.get(policy, policy)
    kind = (_content(name, _CONFIG, store) or {}).get("kind")
    if kind is None:
        return []
    # The import is here since it loads torch, which only a sampler of latents needs.
    from molbuffer.samplers.models import MODELS, ConditionKind

    if kind not in MODELS or MODELS[kind].condition is ConditionKind.LATENTS:
        return []
    message = f"{name} is a {kind} and has no latent vectors; name a policy that has them, such as one of kind vae"
    return [Problem(path, message)]


def _draw_under_others(agent: Any, prior: Any) -> bool:
    # The import is here since it loads torch, which only a comparison of two kinds needs.
    from molbuffer.samplers.models import MODELS

    if agent not in MODELS or prior not in MODELS:
        return False
    return bool(MODELS[agent].condition is not MODELS[prior].condition)


def _content(name: str, file: str, store: SampleStore | None) -> Any:
    """Return the content of a JSON file of a policy; None if the file, or a store to look it up in, is missing."""
    if name in bundled_names():
        text = resources.files("molbuffer.samplers.bundled").joinpath(name, file).read_text(encoding="utf-8")
    elif (Path(name) / _CONFIG).is_file():
        if not (Path(name) / file).is_file():
            return None
        text = (Path(name) / file).read_text(encoding="utf-8")
    elif store is None:
        return None
    else:
        text = (store.policies.folder(store.policies.resolve(name)) / file).read_text()
    return json.loads(text)


def _policies_of_run(store: SampleStore, run_id: str) -> Mapping[str, Any]:
    try:
        config = json.loads(store.run(run_id).config)
    except UnknownRunError:
        return {}
    policies = config.get("policy")
    return policies if isinstance(policies, dict) else {}
