import importlib.util
import os
import threading
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path

import duckdb
import polars as pl
import pytest

from molbuffer.storage import SampleStore
from molbuffer.storage.backends.engine import engine, quote
from molbuffer.storage.errors import QueryError, QueryRefusedError, QueryTimeoutError, QueryTooLargeError
from molbuffer.storage.records import Commit, Event, PolicyVersion, Reward, Score

CONTRACT = {"run_id", "run_name", "build_id", "row", "iteration", "event", "sampler", "sampler_kind", "policy_sha256"}
CONTRACT |= {"temperature", "smiles", "raw", "source_smiles", "kept", "rejected_by", "reward", "created"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory, make):
    """A filled store that tests only read."""
    with SampleStore.create(tmp_path_factory.mktemp("shared") / "store") as store:
        store.start_run(make.make_run())
        yield fill(store, make)


@pytest.fixture
def filled(started, make):
    """A filled store of the test's own."""
    return fill(started, make)


def fill(started, make):
    """Two builds of run-1 and one of run-2, with scores and a policy."""
    started.start_run(make.make_run("run-2", name="other", objective_sha256=make.OBJECTIVE))
    builds = [
        make.make_build(0, scores=[Score("C", "qed", "v1", 0.5)]),
        make.make_build(1, event=Event.SAMPLE_BATCH, rewards=[Reward(0, make.OBJECTIVE, 0.9)]),
        make.make_build(0, run_id="run-2", objective_sha256=None),
    ]
    started.commit(Commit(builds, policies=[PolicyVersion("policy-1", "gru", weights_kept=True)]))
    return started


def everything(store):
    """The bytes of every file that a reader must not change."""
    return {
        path: path.read_bytes()
        for path in store.path.rglob("*")
        # A descriptor of the catalog that is closed here would drop DuckDB's locks on it.
        if path.is_file() and not path.name.startswith(("catalog.sqlite", "commit.lock"))
    }


def test_sample_history_has_all_that_is_promised(shared):
    history = shared.query("FROM sample_history ORDER BY run_id, iteration, row")
    assert set(history.columns) >= CONTRACT
    first = history.row(0, named=True)
    wanted = {"run_id": "run-1", "run_name": "test", "iteration": 0, "event": "build_buffer", "sampler": "live"}
    wanted |= {"sampler_kind": "model", "policy_sha256": "policy-1", "temperature": 0.9, "smiles": "C", "raw": "C"}
    wanted |= {"row": 0, "kept": True, "rejected_by": None, "reward": 0.0, "source_smiles": None}
    assert {name: first[name] for name in wanted} == wanted
    assert isinstance(first["created"], datetime)
    assert first["created"].tzinfo is None
    assert len(history) == 18


def test_rejected_rows_are_history(shared):
    rejected = shared.query(
        "SELECT row, smiles, raw, rejected_by, reward FROM sample_history WHERE NOT kept ORDER BY ALL"
    )
    assert set(rejected.rows()) == {(1, None, "CC", "validity", None), (2, "CCC", "CCC", "molecular_weight", None)}


def test_rewards_are_those_of_the_builds_objective_or_else_the_runs(shared):
    sums = shared.query("SELECT run_id, event, sum(reward) FROM sample_history GROUP BY ALL ORDER BY ALL").rows()
    assert sums == [("run-1", "build_buffer", 1.2), ("run-1", "sample_batch", 0.9), ("run-2", "build_buffer", 1.2)]


def test_top_molecules_are_ranked_and_count_their_draws(shared):
    top = shared.query("SELECT smiles, reward, times_drawn, first_run_id FROM top_molecules LIMIT 2").rows()
    assert top[0][:3] == ("C", 0.9, 3)
    assert top[1][:3] == ("CCCCCC", 0.5, 2)


def test_views_and_tables_of_an_empty_store_are_empty(store):
    names = set(filled_names(store))
    assert {"sample_history", "top_molecules", "score_cache", "lineage", "samples", "checkpoints"} <= names
    assert "commit_fence" not in names
    for name in names - {"migrations"}:
        assert store.query(f"SELECT count(*) FROM {name}").item() == 0, name


def filled_names(store):
    return store.query("SHOW TABLES")["name"].to_list()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 AS one",
        "  -- a comment\n /* and ; another */ select 1 as one;",
        "(SELECT 1 AS one)",
        "WITH a AS (SELECT 1 AS one) SELECT * FROM a",
        "FROM samples",
        "TABLE samples",
        "VALUES (1), (2)",
        "DESCRIBE sample_history",
        "DESC samples",
        "SHOW TABLES",
        "SUMMARIZE samples",
        "PIVOT rewards ON status IN ('ok', 'failed') USING count(*)",
        "PIVOT rewards ON status USING count(*)",
        "-- two columns\nPIVOT (SELECT run_id, event, kept FROM sample_history) ON event, kept USING count(*);",
        "WITH p AS (PIVOT rewards ON status USING count(*)) SELECT * FROM p",
        "FROM (PIVOT rewards ON status)",
        "UNPIVOT (SELECT drawn, kept FROM builds) ON drawn, kept",
        "SELECT count(*) FROM samples s JOIN builds b USING (build_id) WHERE s.raw LIKE '%;%'",
    ],
)
def test_statements_that_read_are_answered(shared, sql):
    assert isinstance(shared.query(sql), pl.DataFrame)


ATTACKS = [
    "INSERT INTO samples VALUES (1)",
    "CREATE TYPE t AS ENUM ('ok'); SELECT 'ok'::t",
    "PIVOT rewards ON status; DROP VIEW samples",
    "PIVOT rewards ON status; PIVOT rewards ON status",
    "UPDATE samples SET raw = 'x'",
    "DELETE FROM samples",
    "DROP VIEW samples",
    "CREATE TABLE t (a INTEGER)",
    "CREATE MACRO f() AS 1",
    "COPY (SELECT 1) TO '{out}'",
    "COPY samples TO '{parquet}'",
    "EXPORT DATABASE '{out}'",
    "ATTACH '{out}'",
    "ATTACH 'ducklake:sqlite:{catalog}' AS lake",
    "DETACH memory",
    "INSTALL httpfs",
    "LOAD ducklake",
    "LOAD '{extension}'",
    "PRAGMA database_list",
    "PRAGMA enable_profiling",
    "SET enable_external_access = true",
    "SET threads = 1",
    "RESET memory_limit",
    "CALL pragma_version()",
    "CHECKPOINT",
    "VACUUM",
    "BEGIN",
    "PREPARE p AS SELECT 1",
    "EXPLAIN ANALYZE SELECT 1",
    "USE memory",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP VIEW samples",
    "",
    ";",
    "-- only a comment",
    "SELECT",
    "SELECT * FROM read_csv('/etc/passwd')",
    "FROM '/etc/passwd'",
    "FROM '{catalog}'",
    "FROM glob('/etc/*')",
    "FROM glob('{store}/*')",
    "FROM read_text('/etc/passwd')",
    "FROM read_text('{store}/store.toml')",
    "FROM read_blob('{catalog}')",
    "FROM read_json('/etc/passwd')",
    "FROM read_parquet('{store}/tables/main/commit_fence/*.parquet')",
    "FROM sniff_csv('/etc/passwd')",
    "FROM parquet_metadata('/tmp/x.parquet')",
    "FROM read_duckdb('{out}')",
    "FROM sqlite_scan('{catalog}', 'ducklake_table')",
    "FROM sqlite_query('{catalog}', 'select 1')",
    "FROM postgres_query('host=localhost', 'select 1')",
    "FROM ducklake_cleanup_old_files('lake', cleanup_all => true)",
    "FROM ducklake_snapshots('lake')",
    "FROM duckdb_secrets()",
    "FROM which_secret('s3://x', 's3')",
    "SELECT getenv('HOME')",
    "FROM query('COPY (SELECT 1) TO ''{out}''')",
    "FROM query('DROP VIEW samples')",
    "FROM query_table('{catalog}')",
    "SELECT * FROM json_execute_serialized_sql('{{}}')",
    "FROM commit_fence",
    "FROM local_frame",
    "SELECT * FROM (INSERT INTO samples VALUES (1) RETURNING *)",
    "WITH x AS (DELETE FROM samples RETURNING *) FROM x",
    "SELECT no_such_column FROM samples",
    "SELECT 'a'::INTEGER",
    "SELECT error('given up')",
    "FROM read_text('file://{store}/store.toml')",
    "FROM read_text('{parquet}/../../../../store.toml')",
    "FROM read_csv(['{parquet}', '/etc/passwd'])",
    "FROM read_blob('/proc/self/environ')",
    "FROM glob('{store}/tables/main/samples/*')",
    "FROM read_parquet('{store}/tables/main/samples/*.parquet')",
    "FROM read_json_auto('{store}/arrays/*/zarr.json')",
    "FROM 'https://example.com/a.parquet'",
    "FROM read_parquet('s3://bucket/a.parquet')",
    "FROM json_execute_serialized_sql(json_serialize_sql('SELECT * FROM read_text(''/etc/passwd'')'))",
    "FROM query('SELECT 1; SELECT 2')",
    "FROM query('ATTACH ''{out}''')",
    "FROM query('SET threads = 1')",
    "FROM query_table(['samples', '/etc/passwd'])",
    "WITH c AS (COPY (SELECT 1) TO '{out}') SELECT 1",
    "SELECT CASE WHEN false THEN (SELECT content FROM read_text('/etc/passwd')) END",
    "SUMMARIZE '/etc/passwd'",
    "DESCRIBE FROM read_text('/etc/passwd')",
    "SHOW (DROP VIEW samples)",
    "FROM pandas_scan(1)",
    "FROM force_checkpoint()",
    "FROM duckdb_extensions()",
    "IMPORT DATABASE '{out}'",
    "MERGE INTO samples USING runs ON true WHEN MATCHED THEN DELETE",
    "EXECUTE p",
    "SET VARIABLE a = 1",
    "CREATE SECRET (TYPE s3)",
    "UPDATE EXTENSIONS",
    "SELECT 1; PRAGMA threads = 1",
    "SELECT 1\u037e DROP VIEW samples",
    "SEL\u200bECT 1",
    "\ufeffDROP VIEW samples",
    "SELECT $1",
    "SELECT 'a\x00'; DROP VIEW samples",
    "SELECT " + "(" * 100_000 + "1" + ")" * 100_000,
    "SELECT * FROM (" * 20_000 + "SELECT 1" + ")" * 20_000,
]


@pytest.mark.parametrize("sql", ATTACKS, ids=lambda sql: sql[:60])
def test_r11_nothing_but_reading_the_version_is_possible(shared, tmp_path, sql):
    local_frame = pl.DataFrame({"a": [1]})
    out = tmp_path / "out"
    store = shared.path
    wheel = Path(importlib.util.find_spec("duckdb_extension_sqlite_scanner").origin).parent
    extension = next(wheel.rglob("*.duckdb_extension"))
    parquet = next((store / "tables" / "main" / "samples").iterdir())
    before = everything(shared)
    text = sql.format(out=out, catalog=store / "catalog.sqlite", store=store, extension=extension, parquet=parquet)
    with pytest.raises(QueryError) as caught:
        shared.query(text)
    assert "\n" not in str(caught.value)
    assert str(caught.value)
    assert not out.exists()
    assert everything(shared) == before
    assert shared.query("SELECT count(*) FROM samples").item() == 18
    assert len(local_frame) == 1


def test_several_statements_are_refused_by_count(shared):
    with pytest.raises(QueryRefusedError, match="2"):
        shared.query("SELECT 1; SELECT 2")
    with pytest.raises(QueryRefusedError, match="DROP"):
        shared.query("DROP VIEW samples")


def test_a_wrong_column_is_named_in_duckdbs_words(shared):
    with pytest.raises(QueryError, match="no_such_column"):
        shared.query("SELECT no_such_column FROM samples")


def test_a_query_that_takes_too_long_is_interrupted(shared):
    started_at = time.perf_counter()
    with pytest.raises(QueryTimeoutError, match=r"0\.3 s"):
        shared.query("SELECT sum(a.range * b.range) FROM range(10000000) a, range(10000000) b", timeout_seconds=0.3)
    assert time.perf_counter() - started_at < 200


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM range(100000000000)",
        "SELECT list(range) FROM range(100000000)",
        "SELECT range FROM range(100000000) ORDER BY hash(range)",
        "SELECT repeat('x', 100000000)",
    ],
)
def test_a_query_that_needs_too_much_memory_is_stopped(shared, sql):
    with pytest.raises(QueryTooLargeError, match="50MB"):
        shared.query(sql, memory_limit="50MB")


def test_memory_limits_are_sizes(shared):
    for limit in ("1GB", "512MiB", "100.5 MB", "2gb"):
        assert shared.query("SELECT 1", memory_limit=limit).item() == 1
    for limit in ("a lot", "", "-1GB", "10"):
        with pytest.raises(QueryError, match="2GB"):
            shared.query("SELECT 1", memory_limit=limit)


def test_columns_of_one_name_get_numbers_and_sums_are_integers(shared):
    frame = shared.query("SELECT 1 AS a, 2 AS a, 3 AS a_1, 4 AS a")
    assert len(set(frame.columns)) == 4
    assert frame.row(0) == (1, 2, 3, 4)
    both = shared.query("SELECT * FROM samples JOIN builds ON samples.build_id = builds.build_id")
    assert len(both) == 18
    assert shared.query("SELECT sum(row) AS n FROM samples").schema == {"n": pl.Int64}


def test_a_pivot_finds_its_columns(shared):
    sql = "PIVOT (SELECT run_id, event FROM sample_history) ON event USING count(*) ORDER BY run_id"
    assert shared.query(sql).to_dicts() == [
        {"run_id": "run-1", "build_buffer": 6, "sample_batch": 6},
        {"run_id": "run-2", "build_buffer": 6, "sample_batch": 0},
    ]


def test_queries_run_while_a_writer_commits(filled, make):
    stop = threading.Event()

    def write():
        for iteration in range(2, 8):
            filled.commit(Commit([make.make_build(iteration)]))
        stop.set()

    writer = threading.Thread(target=write)
    writer.start()
    counts = []
    while not stop.is_set():
        counts.append(filled.query("SELECT count(*) FROM samples").item())
    writer.join()
    assert counts == sorted(counts)
    assert all(n % 6 == 0 for n in counts)


def test_a_version_reads_the_same_after_its_files_were_merged(filled, make):
    old = filled.snapshot()
    sql = "SELECT build_id, row, raw, reward FROM sample_history ORDER BY ALL"
    before = filled.query(sql)
    filled.commit(Commit([make.make_build(5, seed=3)]))
    newest = filled.query(sql)
    address = quote(f"ducklake:sqlite:{filled.path / 'catalog.sqlite'}")
    with closing(engine(os.getpid()).cursor()) as compactor:
        tables = quote(f"{filled.path / 'tables'}/")
        compactor.execute(f"ATTACH {address} AS other (DATA_PATH {tables}, OVERRIDE_DATA_PATH true)")
        compactor.execute("CALL ducklake_merge_adjacent_files('other')")
        compactor.execute("DETACH other")
    assert filled.query(sql, snapshot=old).equals(before)
    assert filled.query(sql).equals(newest)
    assert len(before) == 18
    assert len(newest) == 24


def test_other_programs_that_attach_the_catalog_see_the_views(shared):
    address = quote(f"ducklake:sqlite:{shared.path / 'catalog.sqlite'}")
    with closing(engine(os.getpid()).cursor()) as other:
        other.execute(f"ATTACH {address} AS plain (READ_ONLY)")
        assert other.execute("SELECT count(*) FROM plain.sample_history").fetchone() == (18,)
        assert other.execute("SELECT count(*) FROM plain.lineage").fetchone() == (1,)
        other.execute("DETACH plain")


def test_the_sandbox_knows_no_extension_of_the_catalog():
    with closing(duckdb.connect()) as plain:
        loaded = plain.execute("SELECT extension_name FROM duckdb_extensions() WHERE loaded").fetchall()
    assert not {"ducklake", "sqlite_scanner", "httpfs", "postgres_scanner"} & {name for (name,) in loaded}
