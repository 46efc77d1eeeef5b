"""The objectives of a scope: what rewards are made of. Rewards of two objectives are never comparable."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molbuffer.kinds import KindError
from molbuffer.pages.facts.scope import NUMBERED, SHORT_ID, Scope
from molbuffer.scoring import TRANSFORMS, ScoringError

CURVE_POINTS = 120


@dataclass(frozen=True)
class ComponentFacts:
    """A component of an objective.

    Attributes:
        name: its name.
        version: the hash of all that its raw values depend on; None where no score of it is known.
        weight: its weight in the objective.
        transform: the kind and parameters of its transform; None where they cannot be read.
        gate: the condition that opens it, as JSON; None without one.
        pessimism: the standard deviations by which an uncertain value counts as worse.
        scored: good scores in the store.
        quantiles: the least raw value, those at 1, 25, 50, 75 and 99 %, and the greatest; None without scores.
    """

    name: str
    version: str | None
    weight: float
    transform: Mapping[str, Any] | None
    gate: str | None
    pessimism: float
    scored: int
    quantiles: tuple[float, ...] | None

    def curve(self) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Return the transform as points (raw value, transformed value), float64 [120] each, over the ends of the
        transform and the middle 98 % of the raw values; None where its kind is not installed or cannot be read.
        """
        try:
            settings = dict(self.transform or {})
            transform = TRANSFORMS[settings.pop("kind", "")](**settings)
        except (KindError, ScoringError, TypeError, ValueError):
            return None
        ends = [float(settings[name]) for name in ("low", "high", "target") if settings.get(name) is not None]
        if (mean := settings.get("mean")) is not None:
            ends += [mean - 3 * settings["sigma"], mean + 3 * settings["sigma"]]
        if self.quantiles is not None:
            ends += [self.quantiles[1], self.quantiles[-2]]
        elif not ends:
            ends = [0.0, 1.0]
        low, high = min(ends), max(ends)
        margin = 0.1 * (high - low) or 0.5
        if settings == {}:
            # Without a transform, a raw value outside [0, 1] has no transformed one.
            low, high, margin = 0.0, 1.0, 0.0
        raw = np.linspace(low - margin, high + margin, CURVE_POINTS)
        return raw, np.asarray(transform(raw), np.float64)


@dataclass(frozen=True)
class ObjectiveFacts:
    """An objective.

    Attributes:
        sha256: its hash.
        aggregation: how transformed values become a reward; None where the store does not say.
        components: its components, in order; none are known of the rewards of pairs.
        runs: the names of the runs of the scope whose objective it is.
        rewarded: rows of the scope with a reward under it.
        without: rows of the scope that have none, because a score failed, was lost, or is still to come.
    """

    sha256: str
    aggregation: str | None
    components: tuple[ComponentFacts, ...]
    runs: tuple[str, ...]
    rewarded: int
    without: int

    @property
    def label(self) -> str:
        """A short name: what its components are, and the start of its hash."""
        names = ", ".join(component.name for component in self.components) or "components are not recorded"
        return f"{self.sha256[:SHORT_ID]} ({names})"


def list_objectives(scope: Scope) -> list[ObjectiveFacts]:
    """Return the objectives that rows of a scope have rewards under, or that its runs have, the one that was used last
    first.
    """
    totals = scope.read(_TOTALS).to_dicts()
    parts: dict[str, list[ComponentFacts]] = {}
    aggregations: dict[str, str | None] = {}
    if totals:
        wanted = scope.read(_COMPONENTS).to_dicts()
        for row in wanted:
            aggregations[row["objective_sha256"]] = row["aggregation"]
            parts.setdefault(row["objective_sha256"], []).append(_component(row))
    return [
        ObjectiveFacts(
            sha256=row["objective_sha256"],
            aggregation=aggregations.get(row["objective_sha256"]),
            components=tuple(parts.get(row["objective_sha256"], ())),
            runs=tuple(row["runs"] or ()),
            rewarded=row["rewarded"],
            without=row["without"],
        )
        for row in totals
    ]


def _component(row: Mapping[str, Any]) -> ComponentFacts:
    try:
        transform = json.loads(row["transform"])
    except (TypeError, ValueError):
        transform = None
    return ComponentFacts(
        name=row["component"],
        version=row["version"],
        weight=row["weight"],
        transform=transform if isinstance(transform, dict) else None,
        gate=row["gate"],
        pessimism=row["pessimism"],
        scored=row["scored"],
        quantiles=None if row["quantiles"] is None or None in row["quantiles"] else tuple(row["quantiles"]),
    )


_TOTALS = f"""
WITH {NUMBERED},
counted AS (
    SELECT rewards.objective_sha256, count(*) FILTER (good) AS rewarded, count(*) FILTER (NOT good) AS without,
        max(created) AS used
    FROM (
        SELECT rewards.objective_sha256, bool_or(rewards.status = 'ok') AS good, max(rewards.created) AS created
        FROM {{rewards}} AS rewards JOIN numbered ON numbered.build_id = rewards.build_id
        GROUP BY rewards.objective_sha256, numbered.number, rewards."row"
    ) AS rewards
    GROUP BY rewards.objective_sha256
),
owners AS (
    SELECT runs.objective_sha256, list(runs.name ORDER BY wanted.number) AS runs, max(runs.created) AS started
    FROM {{runs}} AS runs JOIN wanted ON wanted.run_id = runs.run_id AND NOT wanted.acts
    WHERE runs.objective_sha256 IS NOT NULL GROUP BY runs.objective_sha256
)
SELECT coalesce(counted.objective_sha256, owners.objective_sha256) AS objective_sha256, owners.runs,
    coalesce(rewarded, 0) AS rewarded, coalesce(without, 0) AS without
FROM counted FULL JOIN owners ON owners.objective_sha256 = counted.objective_sha256
ORDER BY coalesce(used, started) DESC, 1
"""

_COMPONENTS = """
WITH parts AS MATERIALIZED (SELECT * FROM {objective_components}),
values_of AS (
    SELECT scores.component, scores.version, count(*) AS scored,
        quantile_cont(value, [0.0, 0.01, 0.25, 0.5, 0.75, 0.99, 1.0]) AS quantiles
    FROM {scores} AS scores
    SEMI JOIN parts ON parts.component = scores.component AND parts.version = scores.version
    WHERE scores.status = 'ok' AND isfinite(value) GROUP BY scores.component, scores.version
)
SELECT parts.objective_sha256, parts.aggregation, parts.position, parts.component, parts.version, parts.weight,
    parts.transform, parts.gate, coalesce(parts.pessimism, 0.0) AS pessimism,
    coalesce(values_of.scored, 0) AS scored, values_of.quantiles
FROM parts LEFT JOIN values_of ON values_of.component = parts.component AND values_of.version = parts.version
ORDER BY parts.objective_sha256, parts.position
"""
