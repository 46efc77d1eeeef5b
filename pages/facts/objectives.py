"""The objectives of a scope and their components. Rewards under two objectives are never comparable."""

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
        name: the name of the component.
        version: the hash of all that its raw values depend on; None if no score of it is known.
        weight: its weight in the objective.
        transform: the kind and parameters of its transform; None if they cannot be read.
        gate: the condition of its gate, as JSON; None without a gate.
        pessimism: the number of standard deviations by which an uncertain value counts as worse.
        scored: the number of good scores in the store.
        quantiles: the minimum, the quantiles of 1, 25, 50, 75 and 99 %, and the maximum of the raw values; None without
            scores.
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
        """Return the curve of the transform as raw values and transformed values, float64 [120] each.

        The raw values cover the parameters of the transform and the middle 98 % of the stored raw values. None if the
        kind of the transform is not installed, or its parameters cannot be read.
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
            # Without a transform, a raw value outside [0, 1] has no transformed value.
            low, high, margin = 0.0, 1.0, 0.0
        raw = np.linspace(low - margin, high + margin, CURVE_POINTS)
        return raw, np.asarray(transform(raw), np.float64)


@dataclass(frozen=True)
class ObjectiveFacts:
    """An objective of a scope.

    Attributes:
        sha256: the sha256 of the objective.
        aggregation: the aggregation of transformed values to a reward; None if it is not recorded.
        components: the components, in order; empty for an objective of pairs.
        runs: the names of the runs of the scope with this objective.
        rewarded: the number of rows of the scope with a reward under it.
        without: the number of rows of the scope without a reward, since a score failed, was lost, or is pending.
    """

    sha256: str
    aggregation: str | None
    components: tuple[ComponentFacts, ...]
    runs: tuple[str, ...]
    rewarded: int
    without: int

    @property
    def label(self) -> str:
        """A short name: the start of the sha256, and the names of the components."""
        names = ", ".join(component.name for component in self.components) or "components are not recorded"
        return f"{self.sha256[:SHORT_ID]} ({names})"


def list_objectives(scope: Scope) -> list[ObjectiveFacts]:
    """Return the objectives of the runs of a scope and of the rewards of its rows, the last used first."""
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
