"""The tables and views of the store, and the numbered migrations that make them.

Every table but ``commit_fence`` is append-only: an UPDATE would conflict with any concurrent INSERT on the table. What
changes is a row more: a run's status is its newest row in ``run_events``, a molecule scored again has a second row in
``scores``, and a row rewarded under another objective has a second row in ``rewards``. A build whose arrays were
written again has a row in ``placements``, of which the highest generation counts; before the first, its arrays are
where ``builds`` says. ``readmitted`` names the stored rows that a build gives once more, in the order of ``position``.
Builds with arrays in a segment of ``quarantine`` are left out of training. Timestamps are UTC.

SQL in this package names tables and views as ``{samples}``; ``bind`` puts in what the name stands for where the SQL
runs: a table of the catalog, a table as of a version, or a view over Parquet files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

_FIRST_TABLES: Mapping[str, str] = {
    "migrations": "number INTEGER, name VARCHAR, applied TIMESTAMP",
    "commit_fence": "id INTEGER, commits BIGINT",
    "runs": """run_id VARCHAR, name VARCHAR, kind VARCHAR, parent_run_id VARCHAR, config VARCHAR,
        config_sha256 VARCHAR, seed BIGINT, code_version VARCHAR, libraries VARCHAR, host VARCHAR, "user" VARCHAR,
        objective_sha256 VARCHAR, pinned_snapshot BIGINT, selection VARCHAR, created TIMESTAMP""",
    "run_events": "run_id VARCHAR, status VARCHAR, detail VARCHAR, created TIMESTAMP",
    "builds": """build_id VARCHAR, attempt_id VARCHAR, run_id VARCHAR, iteration BIGINT, event VARCHAR,
        sampler VARCHAR, sampler_kind VARCHAR, sampler_order INTEGER, chunk INTEGER, policy_sha256 VARCHAR,
        temperature DOUBLE, top_k INTEGER, top_p DOUBLE, seed BIGINT, objective_sha256 VARCHAR, drawn BIGINT,
        parseable BIGINT, kept BIGINT, mean_reward DOUBLE, vocabulary_sha256 VARCHAR, segment VARCHAR,
        segment_offset BIGINT, flow_run_id VARCHAR, task_run_id VARCHAR, started TIMESTAMP, ended TIMESTAMP,
        created TIMESTAMP""",
    "samples": """build_id VARCHAR, "row" INTEGER, smiles VARCHAR, raw VARCHAR, source_smiles VARCHAR,
        source_build_id VARCHAR, source_row INTEGER, kept BOOLEAN, rejected_by VARCHAR, iteration BIGINT,
        created TIMESTAMP""",
    "rewards": """build_id VARCHAR, "row" INTEGER, objective_sha256 VARCHAR, value DOUBLE, status VARCHAR,
        run_id VARCHAR, created TIMESTAMP""",
    "scores": """smiles VARCHAR, component VARCHAR, version VARCHAR, value DOUBLE, status VARCHAR, error VARCHAR,
        seconds DOUBLE, run_id VARCHAR, created TIMESTAMP""",
    "metrics": """run_id VARCHAR, build_id VARCHAR, iteration BIGINT, sampler VARCHAR, event VARCHAR, name VARCHAR,
        value DOUBLE, created TIMESTAMP""",
    "policies": """sha256 VARCHAR, kind VARCHAR, parent_sha256 VARCHAR, run_id VARCHAR, iteration BIGINT,
        weights_kept BOOLEAN, created TIMESTAMP""",
    "consumed": 'run_id VARCHAR, build_id VARCHAR, "row" INTEGER, iteration BIGINT, created TIMESTAMP',
    "checkpoints": "run_id VARCHAR, iteration BIGINT, folder VARCHAR, snapshot BIGINT, created TIMESTAMP",
    "placements": """build_id VARCHAR, generation INTEGER, segment VARCHAR, segment_offset BIGINT,
        created TIMESTAMP""",
    "quarantine": "segment VARCHAR, reason VARCHAR, created TIMESTAMP",
    "archives": """archive_id VARCHAR, snapshot BIGINT, run_id VARCHAR, predicate VARCHAR, "rows" BIGINT,
        created TIMESTAMP""",
}


@dataclass(frozen=True)
class Migration:
    """A step from one schema to the next; its statements run in one transaction with the row that records it.

    Attributes:
        statements: SQL with tables in braces. They add tables, and columns with or without a default, and nothing
            else: older versions of a migrated store are then read as if they had had them (``Catalog.table``).
        adds: the tables that they create.
    """

    number: int
    name: str
    statements: tuple[str, ...]
    adds: tuple[str, ...] = ()


MIGRATIONS: tuple[Migration, ...] = (
    Migration(
        1,
        "first schema",
        (
            *(f"CREATE TABLE {{{table}}} ({columns})" for table, columns in _FIRST_TABLES.items()),
            "INSERT INTO {commit_fence} VALUES (1, 0)",
        ),
        adds=tuple(_FIRST_TABLES),
    ),
    Migration(
        2,
        "versions of latents and readmitted rows",
        (
            "ALTER TABLE {builds} ADD COLUMN latent_sha256 VARCHAR",
            "ALTER TABLE {builds} ADD COLUMN readmitted BIGINT DEFAULT 0",
            """CREATE TABLE {readmitted} (build_id VARCHAR, position INTEGER, source_build_id VARCHAR,
                source_row INTEGER, created TIMESTAMP)""",
        ),
        adds=("readmitted",),
    ),
)
"""In the order of their numbers, which count from 1. Never edit one that was released: add another. A release that
changes only a view adds one without statements, since the views of the catalog are written with the last migration."""


def tables_of(migrations: Iterable[Migration]) -> tuple[str, ...]:
    """The tables of a store that has had these migrations."""
    return tuple(table for migration in migrations for table in migration.adds)


TABLES = tables_of(MIGRATIONS)
QUERYABLE_TABLES = tuple(table for table in TABLES if table != "commit_fence")
"""What people may query: the fence is not append-only and says nothing."""

VIEWS: Mapping[str, str] = {
    "sample_history": """
        WITH numbered AS MATERIALIZED (
            SELECT builds.*, runs.name AS run_name, runs.kind AS run_kind,
                coalesce(builds.objective_sha256, runs.objective_sha256) AS rewarded_by,
                row_number() OVER () AS number
            FROM {builds} AS builds LEFT JOIN {runs} AS runs ON runs.run_id = builds.run_id
        ),
        found AS NOT MATERIALIZED (
            SELECT numbered.number, rewards."row", rewards.value, rewards.status, rewards.created
            FROM {rewards} AS rewards
            JOIN numbered ON numbered.build_id = rewards.build_id AND numbered.rewarded_by = rewards.objective_sha256
        )
        SELECT numbered.run_id, numbered.run_name, numbered.run_kind, samples.build_id, samples."row",
            samples.iteration, numbered.event, numbered.sampler, numbered.sampler_kind, numbered.sampler_order,
            numbered.chunk, numbered.policy_sha256, numbered.latent_sha256, numbered.temperature, numbered.top_k,
            numbered.top_p, samples.smiles, samples.raw, samples.source_smiles, samples.source_build_id,
            samples.source_row, samples.kept, samples.rejected_by, good.value AS reward,
            CASE WHEN good.value IS NULL THEN other.status ELSE 'ok' END AS reward_status,
            numbered.rewarded_by AS objective_sha256, samples.created
        FROM {samples} AS samples
        JOIN numbered ON numbered.build_id = samples.build_id
        LEFT JOIN (SELECT number, "row", value FROM found WHERE status = 'ok') AS good
            ON good.number = numbered.number AND good."row" = samples."row"
        LEFT JOIN (
            SELECT number, "row", arg_max(status, created) AS status FROM found WHERE status <> 'ok' GROUP BY ALL
        ) AS other
            ON other.number = numbered.number AND other."row" = samples."row" """,
    "top_molecules": """
        SELECT smiles, max(reward) AS reward, objective_sha256, count(*) AS times_drawn,
            arg_min(run_id, (created, build_id, "row")) AS first_run_id,
            arg_min(build_id, (created, build_id, "row")) AS first_build_id,
            arg_min("row", (created, build_id, "row")) AS first_row,
            arg_min(policy_sha256, (created, build_id, "row")) AS first_policy_sha256, min(created) AS first_created
        FROM {sample_history}
        WHERE kept AND reward IS NOT NULL
        GROUP BY smiles, objective_sha256
        ORDER BY reward DESC, smiles""",
    "score_cache": """
        SELECT smiles, component, version, unnest(arg_max(
            {'value': value, 'status': status, 'error': error, 'seconds': seconds, 'created': created},
            (CASE status WHEN 'ok' THEN 2 WHEN 'failed' THEN 1 ELSE 0 END, created)))
        FROM {scores}
        GROUP BY smiles, component, version""",
    "current_placements": """
        SELECT build_id, unnest(arg_max(
            {'segment': segment, 'segment_offset': segment_offset, 'generation': generation}, generation))
        FROM {placements} GROUP BY build_id""",
    "lineage": """
        WITH RECURSIVE
        versions AS (
            SELECT sha256, any_value(kind) AS kind, any_value(parent_sha256) AS parent_sha256,
                arg_min(run_id, created) AS run_id, arg_min(iteration, created) AS iteration,
                bool_or(weights_kept) AS weights_kept, min(created) AS created
            FROM {policies} GROUP BY sha256
        ),
        ancestors AS (
            SELECT sha256, sha256 AS ancestor, 0 AS distance FROM versions
            UNION
            SELECT ancestors.sha256, versions.parent_sha256, distance + 1
            FROM ancestors JOIN versions ON versions.sha256 = ancestors.ancestor
            WHERE NOT versions.weights_kept AND versions.parent_sha256 IS NOT NULL
        )
        SELECT versions.*, kept.ancestor AS kept_ancestor, kept.distance AS updates_since_kept
        FROM versions LEFT JOIN (
            SELECT ancestors.sha256, ancestors.ancestor, ancestors.distance
            FROM ancestors JOIN versions ON versions.sha256 = ancestors.ancestor AND versions.weights_kept
        ) AS kept ON kept.sha256 = versions.sha256""",
}
"""The views by name, each after those it reads.

``sample_history.reward`` is that of the build's own objective, null unless its status is ok. The store writes at most
one ok reward a row and objective, so that this join never doubles a row. It goes by the numbers of builds: by their ids
and the hash of the objective, texts of 96 letters, it takes 2 GB for 10,000,000 rows instead of 0.7. ``score_cache``
holds the newest good score of each molecule and component version, else the newest failed one.
``lineage.kept_ancestor`` is the nearest version whose weights are in the store, the version itself when they are.
"""

_NAME = re.compile(r"\{(" + "|".join((*TABLES, *VIEWS)) + r")\}")


def bind(sql: str, relation: Callable[[str], str]) -> str:
    """Replaces each ``{name}`` of a table or view by ``relation(name)``; other braces stay as they are."""
    return _NAME.sub(lambda match: relation(match[1]), sql)
