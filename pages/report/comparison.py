"""The comparison of runs: their results, and the settings that differ."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from molbuffer.pages.facts import (
    SHORT_ID,
    TOP,
    RunFacts,
    Scope,
    area_under_best,
    call_rewards,
    funnel_of,
    funnel_over_time,
    list_run_facts,
    mean_of_top,
)


@dataclass(frozen=True)
class Comparison:
    """A comparison of runs, in columns.

    Attributes:
        runs: the runs, in the order of the columns.
        rows: the values of the runs, by the title of the row; None for a run without a value.
        differences: the values of the settings that differ between the runs, by their keys.
        note: a note for the reader; empty without one.
    """

    runs: Sequence[RunFacts]
    rows: Mapping[str, Sequence[Any]]
    differences: Mapping[str, Sequence[Any]]
    note: str


def compare_runs(scope: Scope) -> Comparison:
    """Return a comparison of the runs of a scope.

    It includes rewards only if all runs have the same objective, since rewards under different objectives cannot be
    compared. The area under the best rewards then covers the number of calls that every run has made, so that a larger
    budget is no advantage.
    """
    runs = list_run_facts(scope)
    outcomes = funnel_over_time(scope, bins=1)
    funnels = [funnel_of(outcomes.filter(run_id=run.run_id)) for run in runs]
    rows: dict[str, Sequence[Any]] = {
        "id": [run.run_id[:SHORT_ID] for run in runs],
        "kind": [run.shown_kind for run in runs],
        "status": [run.status for run in runs],
        "objective": [(run.objective_sha256 or "")[:SHORT_ID] or None for run in runs],
        "seed": [run.seed for run in runs],
        "iterations": [run.iterations for run in runs],
        "drawn": [each.drawn for each in funnels],
        "kept of the drawn": [each.kept / each.drawn if each.drawn else None for each in funnels],
        "rewarded of the kept": [each.rewarded / each.kept if each.kept else None for each in funnels],
    }
    objectives = {run.objective_sha256 for run in runs}
    note = ""
    if len(objectives) > 1:
        note = "the runs have several objectives, whose rewards cannot be compared"
    elif (only := next(iter(objectives), None)) is not None:
        rows |= _rewards(scope, only, runs)
    rows["minutes"] = [run.seconds / 60 for run in runs]
    return Comparison(runs, rows, _differences(runs), note)


def _rewards(scope: Scope, objective: str, runs: Sequence[RunFacts]) -> dict[str, Sequence[Any]]:
    rewards = call_rewards(scope, objective)
    of_runs = [rewards.get(run.run_id, np.empty(0)) for run in runs]
    common = min((len(values) for values in of_runs), default=0)
    whole = [values.tolist() for values in of_runs]
    found: dict[str, Sequence[Any]] = {
        "oracle calls": [len(values) for values in whole],
        "best reward": [mean_of_top(values, 1) for values in whole],
        "mean of the ten best": [mean_of_top(values, TOP) for values in whole],
    }
    if common:
        early = [values[:common] for values in whole]
        found[f"ten best after {common:,} calls"] = [mean_of_top(values, TOP) for values in early]
        found[f"AUC top-10 of {common:,} calls"] = [area_under_best(values, common, TOP) for values in early]
    return found


def _differences(runs: Sequence[RunFacts]) -> dict[str, Sequence[Any]]:
    flat = [_flat(run.config) for run in runs]
    keys = sorted({key for settings in flat for key in settings})
    values = {key: [settings.get(key) for settings in flat] for key in keys}
    return {key: each for key, each in values.items() if any(value != each[0] for value in each[1:])}


def _flat(value: Any, key: str = "") -> dict[str, Any]:
    """Return the values of a configuration by their keys, such as ``training.loss.kind`` or ``samplers[0].name``."""
    if isinstance(value, Mapping):
        parts = ((f"{key}.{name}" if key else str(name), each) for name, each in value.items())
    elif isinstance(value, list) and any(isinstance(each, (Mapping, list)) for each in value):
        parts = ((f"{key}[{at}]", each) for at, each in enumerate(value))
    else:
        return {key: value if isinstance(value, (str, int, float, bool)) or value is None else json.dumps(value)}
    return {name: found for path, each in parts for name, found in _flat(each, path).items()}
