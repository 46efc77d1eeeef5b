"""The costs of scores: for each component, the computed and the stored scores, and the time of computing."""

from __future__ import annotations

from dataclasses import dataclass

from molbuffer.pages.facts.scope import NUMBERED, Scope


@dataclass(frozen=True)
class CostFacts:
    """The costs of one component of an objective.

    Attributes:
        component: the name of the component.
        version: the hash of all that its values depend on.
        asked: the number of pairs of a run and a molecule with a settled reward and a score of the component, which
            gated molecules do not have.
        computed: the number of scores that the runs computed, failed and lost ones included.
        known: the number of pairs for which no score was computed, since the store had it.
        seconds: the total time of computing, summed over parallel workers.
        mean_seconds: the mean time of a computed score, in seconds; None without any.
        slowest: the 99th percentile of the time of a computed score, in seconds; None without any.
    """

    component: str
    version: str
    asked: int
    computed: int
    known: int
    seconds: float
    mean_seconds: float | None
    slowest: float | None

    @property
    def saved_seconds(self) -> float:
        """The estimated time of computing the known scores, in seconds."""
        return self.known * (self.mean_seconds or 0.0)


def list_costs(scope: Scope) -> list[CostFacts]:
    """Return the costs of each component with scores in the runs of a scope, the most expensive first."""
    return [CostFacts(**row) for row in scope.read(_COSTS).to_dicts()]


_COSTS = f"""
WITH {NUMBERED},
parts AS MATERIALIZED (
    SELECT DISTINCT component, version, objective_sha256 FROM {{objective_components}} WHERE version IS NOT NULL
),
rewarded AS (
    SELECT DISTINCT numbered.run, samples.smiles, numbered.rewarded_by
    FROM {{rewards}} AS rewards JOIN numbered
        ON numbered.build_id = rewards.build_id AND numbered.rewarded_by = rewards.objective_sha256
    JOIN {{samples}} AS samples ON samples.build_id = rewards.build_id AND samples."row" = rewards."row"
    WHERE rewards.status <> 'pending' AND samples.smiles IS NOT NULL
),
found AS (
    SELECT scores.smiles, scores.component, scores.version, wanted.number AS run, scores.seconds
    FROM {{scores}} AS scores LEFT JOIN wanted ON wanted.run_id = scores.run_id
),
asked AS (
    SELECT rewarded.run, rewarded.smiles, parts.component, parts.version,
        bool_or(found.run = rewarded.run) AS own
    FROM rewarded JOIN parts ON parts.objective_sha256 = rewarded.rewarded_by
    JOIN found ON found.smiles = rewarded.smiles AND found.component = parts.component
        AND found.version = parts.version
    GROUP BY ALL
),
computed AS (
    SELECT component, version, count(*) AS computed, sum(seconds) AS seconds, avg(seconds) AS mean_seconds,
        quantile_cont(seconds, 0.99) AS slowest
    FROM found WHERE run IS NOT NULL GROUP BY component, version
),
totals AS (
    SELECT component, version, count(*) AS asked, count(*) FILTER (own IS NOT TRUE) AS known
    FROM asked GROUP BY component, version
)
SELECT coalesce(totals.component, computed.component) AS component,
    coalesce(totals.version, computed.version) AS version, coalesce(totals.asked, 0) AS asked,
    coalesce(computed.computed, 0) AS computed, coalesce(totals.known, 0) AS known,
    coalesce(computed.seconds, 0.0) AS seconds, computed.mean_seconds, computed.slowest
FROM totals FULL JOIN computed ON computed.component = totals.component AND computed.version = totals.version
ORDER BY seconds DESC, component, version
"""
