"""The views over the tables, and how SQL that names tables and views in braces is bound to a snapshot."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping

from molbuffer.storage.catalog.schema.migrations import TABLES
from molbuffer.storage.catalog.schema.score_views import SCORE_VIEWS

QUERYABLE_TABLES = tuple(table for table in TABLES if table != "commit_fence")
"""The tables that people may query: nothing is kept in the fence."""

RUN_AND_ACTORS = "(SELECT run_id FROM {runs} WHERE ? IN (run_id, CASE kind WHEN 'build' THEN parent_run_id END))"
"""The ids of a run, for which ``?`` stands, and of its actors, whose rows count as its own."""
ACTORS_OF_RUN = "(SELECT run_id FROM {runs} WHERE parent_run_id = ? AND kind = 'build')"
"""The ids of the actors of a run, for which ``?`` stands."""

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
            numbered.rewarded_by AS objective_sha256, samples.created, samples.file, samples.file_line, samples.file_id,
            numbered.stage, samples.predicted_reward, samples.predicted_sd, samples.acquisition, samples.picked_by,
            samples.parents
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
    "buckets": """
        SELECT run_id, bucket, count(*) AS molecules, min(iteration) AS first_iteration,
            max(iteration) AS last_iteration
        FROM {bucketed_molecules} GROUP BY run_id, bucket ORDER BY run_id, molecules DESC, bucket""",
    "scored_poses": """
        SELECT poses.smiles, poses.component, poses.version, good.value, poses.pose, poses.run_id, poses.created
        FROM {poses} AS poses JOIN (
            SELECT smiles, component, version, arg_max(value, created) AS value
            FROM {scores} SEMI JOIN {poses} USING (smiles, component, version) WHERE status = 'ok' GROUP BY ALL
        ) AS good ON good.smiles = poses.smiles AND good.component = poses.component
            AND good.version = poses.version""",
    "lineage": """
        WITH RECURSIVE
        versions AS (
            SELECT sha256, any_value(kind) AS kind, any_value(parent_sha256) AS parent_sha256,
                arg_min(run_id, created) AS run_id, arg_min(iteration, created) AS iteration,
                arg_max(weights_kept, (created, weights_kept)) AS weights_kept, min(created) AS created
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
    **SCORE_VIEWS,
}
"""The views by name, each after those it reads.

``sample_history.reward`` is that of the build's own objective, null unless its status is ok. The store writes at most
one ok reward a row and objective, so that this join never doubles a row. It goes by the numbers of builds: by their ids
and the hash of the objective, texts of 96 letters, it takes 2 GB for 10,000,000 rows instead of 0.7. ``score_cache``
holds the newest good score of each molecule and component version, else the newest failed one.
The newest row of a policy says whether its weights are kept: those of a run that goes on are removed again (``prune``).
``lineage.kept_ancestor`` is the nearest version whose weights are in the store, the version itself when they are.
``scored_poses`` has the poses of docked molecules, as mol blocks, with their scores.
"""


OWN_VIEWS: Mapping[str, str] = {
    "placed_builds": """
        SELECT builds.* REPLACE (coalesce(moved.segment, builds.segment) AS segment,
            coalesce(moved.segment_offset, builds.segment_offset) AS segment_offset),
            coalesce(moved.generation, 0) AS generation
        FROM {builds} AS builds LEFT JOIN {current_placements} AS moved ON moved.build_id = builds.build_id""",
    "run_states": """
        SELECT run_id, max(created) AS changed, unnest(arg_max({'status': status, 'detail': detail}, created))
        FROM {run_events} WHERE status NOT IN ('given', 'reconfigured') GROUP BY run_id""",
}
"""Views that SQL of this package names and that no catalog has, so that they may change without a migration.

``placed_builds`` is ``builds`` with the segment and offset where the arrays of each build are now, and with the
generation of that placement: 0 where the build was committed. ``run_states`` is the newest event of each run that tells
its status.
"""

NAMES = (*TABLES, *VIEWS, *OWN_VIEWS)
"""What SQL of this package may name in braces."""


def bind(sql: str, relation: Callable[[str], str], names: Collection[str] = NAMES) -> str:
    """Return SQL with ``relation(name)`` in place of each ``{name}``; other braces stay as they are.

    Args:
        sql: of this package.
        relation: the SQL that a name stands for.
        names: the names to replace.
    """
    return _NAME.sub(lambda match: relation(match[1]) if match[1] in names else match[0], sql)


def read_by(view: str) -> tuple[str, ...]:
    """Return the tables and views that a view reads, itself the last and each after those it reads."""
    sql = VIEWS[view]
    names = [name for name in _NAME.findall(sql) if name in NAMES]
    before = (each for name in names for each in (read_by(name) if name in VIEWS else (name,)))
    return (*dict.fromkeys(before), view)


def with_views(table: Callable[[str], str]) -> Callable[[str], str]:
    """Return what each name stands for, where a table is ``table(name)`` and a view is its SELECT in brackets."""
    views = {**VIEWS, **OWN_VIEWS}

    def relation(name: str) -> str:
        return f"({bind(views[name], relation)})" if name in views else table(name)

    return relation


def in_added(sql: str, added: Mapping[str, str]) -> str:
    """Return SQL of this package in which some tables stand for rows that were added to them.

    Args:
        sql: names tables and views in braces; tables of which nothing is given stay.
        added: the SQL that stands for a table, as of ``ReadableCatalog.added``.
    """
    return bind(sql, with_views(lambda name: added.get(name, f"{{{name}}}")))


def tables_in(sql: str) -> tuple[set[str], str]:
    """Return the tables that SQL of this package reads, those of its views among them, and the SQL with these views."""
    found: set[str] = set()

    def relation(name: str) -> str:
        found.add(name)
        return name

    return found, bind(sql, with_views(relation))


_NAME = re.compile(r"\{([a-z_]+)\}")
