"""The views over the tables, and the functions that bind SQL with names in braces to tables and views at a snapshot."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping

from molbuffer.storage.catalog.schema.migrations import TABLES
from molbuffer.storage.catalog.schema.score_views import SCORE_VIEWS

QUERYABLE_TABLES = tuple(table for table in TABLES if table != "commit_fence")
"""The tables that users may query; ``commit_fence`` has no information."""

RUN_AND_ACTORS = "(SELECT run_id FROM {runs} WHERE ? IN (run_id, CASE kind WHEN 'build' THEN parent_run_id END))"
"""The SQL of the ids of a run, given as ``?``, and of its actors, whose rows count as the run's own."""
ACTORS_OF_RUN = "(SELECT run_id FROM {runs} WHERE parent_run_id = ? AND kind = 'build')"
"""The SQL of the ids of the actors of a run, given as ``?``."""

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
"""The views by name, each after the views that it reads.

``sample_history.reward`` is the reward under the build's own objective, null unless its status is ok. The store writes
at most one ok reward for a row and objective, so that the join never doubles a row. The join uses the numbers of
builds: a join by build ids and objective hashes, texts of 96 characters, takes 2 GB of memory for 10,000,000 rows
instead of 0.7 GB. ``score_cache`` has the newest good score of each molecule and component version, or else the newest
failed one, or else the newest lost one. The newest row of a policy says whether its weights are kept, since the weights
of an active run are removed again (``prune``). ``lineage.kept_ancestor`` is the nearest version whose weights are in
the store, which may be the version itself. ``scored_poses`` has the poses of docked molecules, as mol blocks, with
their scores.
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
"""Views for the SQL of this package alone, which no catalog has, so that they may change without a migration.

``placed_builds`` is ``builds`` with the present segment and offset of the arrays of each build, and with the generation
of that placement, which is 0 if the arrays were never moved. ``run_states`` has the newest event of each run that tells
its status.
"""

NAMES = (*TABLES, *VIEWS, *OWN_VIEWS)
"""The names of tables and views that SQL of this package may have in braces."""


def bind(sql: str, relation: Callable[[str], str], names: Collection[str] = NAMES) -> str:
    """Return SQL with ``relation(name)`` in place of each ``{name}``; other braces stay as they are.

    Args:
        sql: trusted SQL of this package.
        relation: a function that returns the SQL for a name.
        names: the names to replace.
    """
    return _NAME.sub(lambda match: relation(match[1]) if match[1] in names else match[0], sql)


def read_by(view: str) -> tuple[str, ...]:
    """Return the tables and views that a view reads, and the view itself, each after the views that it reads."""
    sql = VIEWS[view]
    names = [name for name in _NAME.findall(sql) if name in NAMES]
    before = (each for name in names for each in (read_by(name) if name in VIEWS else (name,)))
    return (*dict.fromkeys(before), view)


def with_views(table: Callable[[str], str]) -> Callable[[str], str]:
    """Return a function that returns the SQL for a name: ``table(name)`` for a table, a view's SELECT in brackets."""
    views = {**VIEWS, **OWN_VIEWS}

    def relation(name: str) -> str:
        return f"({bind(views[name], relation)})" if name in views else table(name)

    return relation


def in_added(sql: str, added: Mapping[str, str]) -> str:
    """Return SQL in which the rows that were added to some tables replace these tables.

    Args:
        sql: SQL of this package, with the names of tables and views in braces; other tables keep their names in braces.
        added: the SQL for the added rows by table, from ``ReadableCatalog.added``.
    """
    return bind(sql, with_views(lambda name: added.get(name, f"{{{name}}}")))


def tables_in(sql: str) -> tuple[set[str], str]:
    """Return the tables that SQL of this package reads, also through views, and the SQL with its views expanded."""
    found: set[str] = set()

    def relation(name: str) -> str:
        found.add(name)
        return name

    return found, bind(sql, with_views(relation))


_NAME = re.compile(r"\{([a-z_]+)\}")
