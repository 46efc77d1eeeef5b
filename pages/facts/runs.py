"""The runs of a scope, with their settings, status and totals."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from molbuffer.pages.facts.scope import SHORT_ID, Scope
from molbuffer.storage import shown_event


@dataclass(frozen=True)
class RunFacts:
    """A run and its results.

    Attributes:
        run_id: the id of the run.
        name: its name, which several runs may have.
        label: a name that is unique in the scope.
        kind: the kind of the run, such as "train".
        status: its newest status, such as "finished"; ``lost`` if its process is gone.
        detail: the detail of the status: the reason of an early end, or the error.
        seed: the seed of its draws.
        objective_sha256: the objective of its rewards; None without one.
        code_version: the version of molbuffer, with its commit if that is known.
        libraries: the versions of other packages, by name.
        host: the machine on which it started.
        started: the time of its start, in UTC.
        changed: the time of its newest status, build or metric, in UTC.
        config: the configuration; empty if it cannot be read.
        actors: the number of actors that drew for it.
        drawn: the number of rows that its samplers and its actors drew.
        kept: the number of these rows that passed every filter.
        iterations: the number of iterations up to its newest build or, for a run that draws nothing, its newest step.
        oracle_calls: the number of different molecules that it has asked its objective for; None if it was not counted.
        mean_reward: the mean reward of its rows; None without rewards.
    """

    run_id: str
    name: str
    label: str
    kind: str
    status: str | None
    detail: str | None
    seed: int
    objective_sha256: str | None
    code_version: str
    libraries: Mapping[str, str]
    host: str
    started: datetime
    changed: datetime
    config: Mapping[str, Any] = field(repr=False)
    actors: int
    drawn: int
    kept: int
    iterations: int
    oracle_calls: int | None
    mean_reward: float | None

    @property
    def shown_kind(self) -> str:
        """The kind of the run with the number of its actors, such as ``train, 2 actors``."""
        return f"{self.kind}, {self.actors} actor{'s' if self.actors > 1 else ''}" if self.actors else self.kind

    @property
    def seconds(self) -> float:
        """The time from its start to its newest change, in seconds."""
        return max(0.0, (self.changed - self.started).total_seconds())

    @property
    def budget(self) -> int | None:
        """The most oracle calls that its configuration allows; None without a limit."""
        found = self.setting("campaign", "max_oracle_calls")
        return found if isinstance(found, int) and found > 0 else None

    def setting(self, *keys: str) -> Any:
        """Return a value of the configuration by its keys, the outermost first; None if it is not there."""
        value: Any = self.config
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value


def list_run_facts(scope: Scope) -> list[RunFacts]:
    """Return the runs of a scope, the oldest first."""
    rows = scope.read(_RUNS).to_dicts()
    names = Counter(row["name"] for row in rows)
    actors = Counter(scope.actors.values())
    found = []
    for row in rows:
        status, detail = shown_event(row.pop("status"), row.pop("detail"))
        label = row["name"] if names[row["name"]] == 1 else f"{row['name']} {row['run_id'][:SHORT_ID]}"
        row["actors"] = actors[row["run_id"]]
        row |= {"config": _parsed(row["config"]), "libraries": _parsed(row["libraries"])}
        found.append(RunFacts(label=label, status=status, detail=detail, **row))
    return found


def _parsed(text: str | None) -> Mapping[str, Any]:
    """Return the object in a JSON text; an empty one if the text is not an object."""
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


_RUNS = """
SELECT runs.run_id, runs.name, runs.kind, states.status, states.detail, runs.seed, runs.objective_sha256,
    runs.code_version, runs.libraries, runs.host, runs.created AS started,
    greatest(runs.created, states.changed, totals.newest, learnt.newest) AS changed, runs.config,
    coalesce(totals.drawn, 0)::BIGINT AS drawn, coalesce(totals.kept, 0)::BIGINT AS kept,
    coalesce(greatest(totals.iterations, learnt.iterations), 0)::BIGINT AS iterations, learnt.oracle_calls,
    totals.mean_reward
FROM {runs} AS runs JOIN wanted ON wanted.run_id = runs.run_id AND NOT wanted.acts
LEFT JOIN {run_states} AS states ON states.run_id = runs.run_id
LEFT JOIN (
    SELECT wanted.number, sum(drawn) AS drawn, sum(kept) AS kept, max(iteration) + 1 AS iterations,
        max(created) AS newest,
        sum(mean_reward * kept) FILTER (mean_reward IS NOT NULL)
            / nullif(sum(kept) FILTER (mean_reward IS NOT NULL), 0) AS mean_reward
    FROM {builds} AS builds JOIN wanted ON wanted.run_id = builds.run_id GROUP BY wanted.number
) AS totals ON totals.number = wanted.number
LEFT JOIN (
    SELECT run_id, max(value) FILTER (name = 'oracle_calls')::BIGINT AS oracle_calls,
        -- A report at the end of a training has metrics of the iteration after its last step.
        max(iteration) FILTER (sampler IS NULL AND name IN ('loss', 'seconds_learning')) + 1 AS iterations,
        max(created) AS newest
    FROM {metrics} AS metrics GROUP BY run_id
) AS learnt ON learnt.run_id = runs.run_id
ORDER BY wanted.number
"""
