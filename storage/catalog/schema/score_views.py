"""The views of objectives and of the scores of molecules: raw and transformed values beside rewards.

``molbuffer.scoring.transforms`` defines the transforms, and a store does not import it. The transforms here are the
same functions as SQL over the settings that are stored with the objective, so that any query can compute transformed
values, for scores of any age, and the store does not keep them a second time. A test compares both for every kind.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

ROUNDING = 1e-6
"""The distance from [0, 1] up to which the raw value of a component without a transform is clipped to [0, 1]."""


def _sigmoid(exponent: str) -> str:
    """Return the SQL of 1 / (1 + 10^(−u)) for an SQL expression u, without overflow for any u."""
    small = f"pow(10.0, -abs({exponent}))"
    return f"(CASE WHEN {exponent} >= 0 THEN 1.0 ELSE {small} END / (1.0 + {small}))"


_WIDTH = "(high - low)"
_CENTRED = f"((value - (low + high) / 2) / {_WIDTH})"
TRANSFORMED: Mapping[str, str] = {
    "identity": f"CASE WHEN value BETWEEN -{ROUNDING} AND 1 + {ROUNDING} THEN least(greatest(value, 0.0), 1.0) END",
    "sigmoid": _sigmoid(f"(10 * steepness * {_CENTRED})"),
    "reverse_sigmoid": _sigmoid(f"(-10 * steepness * {_CENTRED})"),
    "double_sigmoid": f"""{_sigmoid(f"(10 * steepness_low * (value - low) / {_WIDTH})")}
        * {_sigmoid(f"(10 * steepness_high * (high - value) / {_WIDTH})")}""",
    "linear": f"least(greatest((value - low) / {_WIDTH}, 0.0), 1.0)",
    "step": "CASE WHEN value BETWEEN low AND high THEN 1.0 ELSE 0.0 END",
    "desirability": """CASE WHEN value < target
        THEN CASE WHEN low IS NULL THEN 1.0 ELSE pow(greatest((value - low) / (target - low), 0.0), exponent_low) END
        WHEN high IS NULL THEN 1.0 ELSE pow(greatest((high - value) / (high - target), 0.0), exponent_high) END""",
    "gaussian": "exp(-0.5 * pow((value - mean) / sigma, 2))",
}
"""The SQL of the transformed value of ``value``, by the kind of the transform; the transform's numbers are columns."""
_NUMBERS = (
    *("low", "high", "steepness", "steepness_low", "steepness_high"),
    *("mean", "sigma", "target", "exponent_low", "exponent_high"),
)


def _cases(value: str, identity: str | None = None) -> str:
    """Return the SQL of the transformed value of an SQL expression, chosen by the column ``kind``.

    Args:
        value: the SQL expression of the raw value.
        identity: the SQL of the kind ``identity``, if it differs from that in ``TRANSFORMED``.
    """
    of_kind = {**TRANSFORMED, "identity": identity or TRANSFORMED["identity"]}
    cases = (f"WHEN '{kind}' THEN {sql}" for kind, sql in of_kind.items())
    return re.sub(r"\bvalue\b", value, f"(CASE kind {' '.join(cases)} END)")


_BEFORE = """
        before AS (
            SELECT runs.objective_sha256,
                arg_min(TRY_CAST(runs.config AS JSON), (runs.created, runs.run_id)) AS config
            FROM {runs} AS runs ANTI JOIN {objectives} AS recorded USING (objective_sha256)
            WHERE runs.objective_sha256 IS NOT NULL GROUP BY ALL
        ),
        listed AS (
            SELECT objective_sha256, config->>'$.objective.aggregation' AS aggregation,
                unnest(config->'$.objective.components[*]') AS given,
                generate_subscripts(config->'$.objective.components[*]', 1)::INTEGER - 1 AS position
            FROM before
        ),
        named AS (
            SELECT *, name IS NULL AND target IS NOT NULL AS of_target,
                coalesce(name, concat_ws(':', kind, coalesce(subject, target))) AS component
            FROM (
                SELECT *, given->>'kind' AS kind, given->>'name' AS name, given->>'target' AS target,
                    coalesce(given->>'property', given->>'smarts', given->>'function') AS subject
                FROM listed
            ) WHERE kind IS NOT NULL
        ),
        computed AS (
            SELECT DISTINCT runs.objective_sha256, scores.component, scores.version
            FROM {scores} AS scores JOIN {runs} AS runs ON runs.run_id = scores.run_id
            SEMI JOIN before ON before.objective_sha256 = runs.objective_sha256
        ),
        matched AS (
            SELECT named.objective_sha256, named.aggregation, named.position, named.given,
                CASE WHEN count(DISTINCT computed.component) = 1 THEN any_value(computed.component)
                    ELSE named.component END AS component,
                CASE WHEN count(DISTINCT computed.version) = 1 THEN any_value(computed.version) END AS version
            FROM named LEFT JOIN computed ON computed.objective_sha256 = named.objective_sha256 AND (
                computed.component = named.component
                OR (named.of_target AND starts_with(computed.component, named.kind || ':')))
            GROUP BY named.objective_sha256, named.aggregation, named.position, named.component, named.given
        )"""


def molecule_scores(rewarded: str, *, few: bool, key: str | None = None) -> str:
    """Return the SELECT of ``molecule_scores`` for given molecules.

    Args:
        rewarded: the name of a relation (smiles, objective_sha256, reward, reward_status) with one row for each
            molecule and objective.
        few: whether the molecules are few, so that the scores are filtered by them first.
        key: the name of another column of the relation, which becomes the first column of the result.
    """
    columns = ", ".join(f"TRY_CAST(json_extract_string(settings, '$.{name}') AS DOUBLE) AS {name}" for name in _NUMBERS)
    # The confidence bounds of raw values without a transform are clipped to [0, 1].
    bounds = [_cases(f"(value {sign} pessimism * std)", "least(greatest(value, 0.0), 1.0)") for sign in "-+"]
    is_open = "(parts.gate IS NULL OR opened.smiles IS NOT NULL)"
    wanted = f"SEMI JOIN {rewarded} AS few ON few.smiles = scores.smiles" if few else ""
    return f"""
        parts AS MATERIALIZED (
            SELECT *, {columns}, json_extract_string(settings, '$.kind') AS kind,
                TRY_CAST(json_extract_string(TRY_CAST(gate AS JSON), '$.otherwise') AS DOUBLE) AS otherwise
            FROM (SELECT *, TRY_CAST(transform AS JSON) AS settings FROM {{objective_components}})
        ),
        versions AS MATERIALIZED (
            SELECT component, version, row_number() OVER () AS number
            FROM (SELECT DISTINCT component, version FROM parts WHERE version IS NOT NULL)
        ),
        found_scores AS NOT MATERIALIZED (
            SELECT scores.smiles, versions.number, scores.value, scores.std, scores.status, scores.error, scores.created
            FROM {{scores}} AS scores JOIN versions
                ON versions.version = scores.version AND versions.component = scores.component {wanted}
        ),
        good AS NOT MATERIALIZED (SELECT smiles, number, value, std FROM found_scores WHERE status = 'ok'),
        other AS NOT MATERIALIZED (
            SELECT smiles, number, unnest(arg_max(
                {{'status': status, 'error': error}}, (CASE status WHEN 'failed' THEN 1 ELSE 0 END, created)))
            FROM found_scores WHERE status <> 'ok' GROUP BY smiles, number
        ),
        conditions AS MATERIALIZED (
            SELECT objective_sha256, position, alternative, json_array_length(alternative) AS comparisons,
                compared.component, compared.operator, compared.number AS limit_value
            FROM (
                SELECT objective_sha256, position, unnest(TRY_CAST(said->'$.alternatives' AS JSON[])) AS alternative
                FROM (
                    SELECT objective_sha256, position, TRY_CAST(gate AS JSON) AS said
                    FROM {{objective_components}} WHERE gate IS NOT NULL
                )
            ), unnest(json_transform(
                alternative, '[{{"component": "VARCHAR", "operator": "VARCHAR", "number": "DOUBLE"}}]'
            )) AS each(compared)
        ),
        opened AS (
            SELECT DISTINCT smiles, objective_sha256, position FROM (
                SELECT rewarded.smiles, conditions.objective_sha256, conditions.position
                FROM {rewarded} AS rewarded
                JOIN conditions ON conditions.objective_sha256 = rewarded.objective_sha256
                JOIN parts AS needed ON needed.objective_sha256 = conditions.objective_sha256
                    AND needed.component = conditions.component
                JOIN versions ON versions.version = needed.version AND versions.component = needed.component
                JOIN good ON good.smiles = rewarded.smiles AND good.number = versions.number
                WHERE CASE conditions.operator
                    WHEN '<' THEN value < conditions.limit_value
                    WHEN '<=' THEN value <= conditions.limit_value
                    WHEN '>' THEN value > conditions.limit_value
                    WHEN '>=' THEN value >= conditions.limit_value
                    WHEN '==' THEN value = conditions.limit_value
                    ELSE value <> conditions.limit_value END
                GROUP BY rewarded.smiles, conditions.objective_sha256, conditions.position, conditions.alternative,
                    conditions.comparisons
                HAVING count(*) = conditions.comparisons
            )
        )
        SELECT {f"rewarded.{key}, " if key else ""}rewarded.smiles, rewarded.objective_sha256,
            parts.position, parts.component, parts.version, CASE WHEN {is_open} THEN good.value END AS raw_value,
            CASE WHEN NOT {is_open} THEN otherwise WHEN value IS NOT NULL THEN CASE
            WHEN NOT pessimism > 0 THEN {_cases("value")} WHEN std IS NOT NULL THEN least({", ".join(bounds)})
            END END AS transformed_value, parts.weight,
            CASE WHEN NOT {is_open} THEN 'gated' WHEN good.value IS NOT NULL THEN 'ok'
                WHEN parts.version IS NOT NULL THEN coalesce(other.status, 'pending') END AS status,
            CASE WHEN {is_open} AND good.value IS NULL THEN other.error END AS error,
            rewarded.reward, rewarded.reward_status
        FROM {rewarded} AS rewarded JOIN parts ON parts.objective_sha256 = rewarded.objective_sha256
        LEFT JOIN versions ON versions.version = parts.version AND versions.component = parts.component
        LEFT JOIN opened ON opened.smiles = rewarded.smiles AND opened.objective_sha256 = rewarded.objective_sha256
            AND opened.position = parts.position
        LEFT JOIN good ON good.smiles = rewarded.smiles AND good.number = versions.number
        LEFT JOIN other ON other.smiles = rewarded.smiles AND other.number = versions.number"""


SCORE_VIEWS: Mapping[str, str] = {
    "objective_components": f"""
        WITH {_BEFORE.strip()}
        SELECT objective_sha256, position, component, version, weight, transform, aggregation, gate,
            coalesce(pessimism, 0.0) AS pessimism
        FROM {{objectives}}
        UNION ALL
        SELECT objective_sha256, position, component, version, coalesce(TRY_CAST(given->>'weight' AS DOUBLE), 1.0),
            coalesce(given->>'transform', '{{"kind": "identity"}}'), aggregation, NULL, 0.0
        FROM matched""",
    "molecule_scores": f"""
        WITH rewarded AS MATERIALIZED (
            SELECT samples.smiles, rewards.objective_sha256,
                max(rewards.value) FILTER (rewards.status = 'ok') AS reward,
                CASE WHEN bool_or(rewards.status = 'ok') THEN 'ok' ELSE arg_max(rewards.status, rewards.created) END
                AS reward_status
            FROM {{rewards}} AS rewards JOIN {{samples}} AS samples
                ON samples.build_id = rewards.build_id AND samples."row" = rewards."row"
            WHERE samples.smiles IS NOT NULL
            GROUP BY samples.smiles, rewards.objective_sha256
        ),
        {molecule_scores("rewarded", few=False).strip()}""",
}
"""The views of objectives by name, each after the views that it reads.

``objective_components`` has a row for each component of each objective. Runs record the components when they start; for
older runs, the components are read from the configuration, and the version of a component is that of the scores that
the runs of the objective computed, or null if there is none or more than one. ``molecule_scores`` has a row for each
molecule, objective of its rewards, and component. The raw value is that of the good score, of which the store writes at
most one; without a good score, status and error are those of the newest failed score, or else of the newest lost one. A
component whose gate is closed for the molecule has the status ``gated``, the transformed value that the gate gives, and
no raw value, even if another objective has computed one. The name of a component is no part of an objective: where runs
with one objective use several names, the name from the first run counts, and gates use the names of the run that
recorded the objective. Rewards of pairs have objectives of their own, which have no components.
"""
