"""The tables and views of the store, and the numbered migrations that make them.

Every table is append-only, since an UPDATE would conflict with any concurrent INSERT on the table. A change is another
row: the status of a run is its newest row in ``run_events``, a molecule that is scored again has a second row in
``scores``, and a row with a reward under another objective has a second row in ``rewards``. A build whose arrays were
moved has a row in ``placements`` for each move, of which the highest generation is valid; the arrays of other builds
are at the place in ``builds``. ``readmitted`` names the stored rows that a build delivers again, in the order of
``position``. Builds with arrays in a segment of ``quarantine`` are left out of training. ``objectives`` has the
components of each objective in the order of ``position``, with their transforms and gates as JSON, recorded when a run
starts. ``file``, ``file_line`` and ``file_id`` name the row of a file from which a sample was drawn, and ``parents``
has the canonical SMILES of the molecules that were changed or joined to make it, separated by spaces.
``predicted_reward``, ``predicted_sd`` and ``acquisition`` come from the screening model, and ``picked_by`` is the
reason why a sample was scored; ``builds.screening`` describes the model as JSON. ``poses`` has the pose of a good score
as a mol block, at most one for a molecule, component and version; it is a table of its own because every look-up reads
``scores``. ``commit_fence`` is kept from earlier releases, and nothing reads or writes it. Timestamps are in UTC.

SQL in this package names tables and views as ``{samples}``; ``bind`` replaces each name by a table of the catalog, a
table at a snapshot, or a view over Parquet files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
        number: the number of the migration, from 1.
        name: the purpose of the migration.
        statements: SQL statements with tables in braces. They may only add tables, and columns with or without a
            default, so that older snapshots of a migrated store can be read with them (``Catalog.table``).
        adds: the tables that the statements create.
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
    Migration(
        3,
        "components of objectives and origins of rows in files",
        (
            """CREATE TABLE {objectives} (objective_sha256 VARCHAR, position INTEGER, component VARCHAR,
                version VARCHAR, weight DOUBLE, transform VARCHAR, aggregation VARCHAR, created TIMESTAMP)""",
            "ALTER TABLE {samples} ADD COLUMN file VARCHAR",
            "ALTER TABLE {samples} ADD COLUMN file_line BIGINT",
            "ALTER TABLE {samples} ADD COLUMN file_id VARCHAR",
        ),
        adds=("objectives",),
    ),
    Migration(4, "weights that are kept no longer", ()),
    Migration(5, "stages of runs", ("ALTER TABLE {builds} ADD COLUMN stage INTEGER",)),
    Migration(
        6,
        "molecules that diversity memories count",
        (
            """CREATE TABLE {bucketed_molecules} (run_id VARCHAR, position BIGINT, iteration BIGINT, smiles VARCHAR,
                bucket VARCHAR, created TIMESTAMP)""",
        ),
        adds=("bucketed_molecules",),
    ),
    Migration(
        7,
        "predictions of screening",
        (
            "ALTER TABLE {samples} ADD COLUMN predicted_reward DOUBLE",
            "ALTER TABLE {samples} ADD COLUMN predicted_sd DOUBLE",
            "ALTER TABLE {samples} ADD COLUMN acquisition DOUBLE",
            "ALTER TABLE {samples} ADD COLUMN picked_by VARCHAR",
            "ALTER TABLE {builds} ADD COLUMN screening VARCHAR",
        ),
    ),
    Migration(
        8,
        "poses of docked molecules",
        (
            """CREATE TABLE {poses} (smiles VARCHAR, component VARCHAR, version VARCHAR, pose VARCHAR, run_id VARCHAR,
                created TIMESTAMP)""",
        ),
        adds=("poses",),
    ),
    Migration(
        9,
        "gates of components and uncertainties of scores",
        (
            "ALTER TABLE {objectives} ADD COLUMN gate VARCHAR",
            "ALTER TABLE {objectives} ADD COLUMN pessimism DOUBLE DEFAULT 0",
            "ALTER TABLE {scores} ADD COLUMN std DOUBLE",
        ),
    ),
    Migration(10, "parents of children and mutants", ("ALTER TABLE {samples} ADD COLUMN parents VARCHAR",)),
)
"""All migrations, in the order of their numbers, which count from 1. Never edit a released migration: add another. A
release that changes only a view adds a migration without statements, since the last migration writes the views."""


def tables_of(migrations: Iterable[Migration]) -> tuple[str, ...]:
    """Return the names of the tables that these migrations create."""
    return tuple(table for migration in migrations for table in migration.adds)


TABLES = tables_of(MIGRATIONS)
