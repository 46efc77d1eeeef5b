"""Queries of users run in processes of their own, which end with their time and memory and take nothing with them."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from molbuffer.storage import SampleStore, prepare_query_process
from molbuffer.storage.errors import QueryError, QueryTimeoutError, QueryTooLargeError
from molbuffer.storage.query.process import _idle_workers
from molbuffer.storage.records import Commit


@pytest.fixture(scope="module")
def shared(tmp_path_factory, make):
    """A store with one build, that tests only read."""
    with SampleStore.create(tmp_path_factory.mktemp("shared") / "store") as store:
        store.start_run(make.make_run())
        store.commit(Commit([make.make_build()]))
        yield store


@pytest.mark.parametrize(
    "sql",
    [
        # Each is one expression over one row, at which DuckDB itself looks at no limit.
        "SELECT len(range(1000000000))",
        "SELECT length(repeat('x', 4000000000))",
        "SELECT list_sum(list_transform(range(1000000000), x -> x * 2))",
    ],
)
def test_a_bomb_ends_with_its_process(shared, sql):
    began, before = time.perf_counter(), resident_bytes()
    with pytest.raises((QueryTooLargeError, QueryTimeoutError)):
        shared.query(sql, memory_limit="50MB", timeout_seconds=2)
    assert time.perf_counter() - began < 200
    assert resident_bytes() - before < 2000e6
    assert shared.query("SELECT 1").item() == 1


def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    "sql",
    [
        "WITH RECURSIVE r AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM r) SELECT count(*) FROM r",
        "SELECT levenshtein(repeat('a', 300000), repeat('b', 300000))",
        "SELECT pg_sleep(60)",
        "FROM query('SELECT count(*) FROM range(1000000000000)')",
    ],
)
def test_the_time_is_kept_whatever_is_computed(shared, sql):
    began = time.perf_counter()
    with pytest.raises(QueryTimeoutError, match=r"0\.3 s"):
        shared.query(sql, timeout_seconds=0.3)
    assert time.perf_counter() - began < 200


def test_what_may_be_called_writes_nothing_anywhere(shared, tmp_path, capfd):
    """Functions that change settings of their own database, which ends with the query."""
    calls = [
        "enable_logging('QueryLog', storage := 'file', storage_path := '[out]')",
        "enable_logging(level := 'debug', storage := 'stdout')",
        "enable_profiling(format := 'json', save_location := '[out].json', mode := 'detailed')",
        "truncate_duckdb_logs()",
        "checkpoint()",
    ]
    for call in calls:
        shared.query(f"FROM {call.replace('[out]', str(tmp_path / 'out'))}")
        shared.query(f"FROM {call.replace('[out]', str(tmp_path / 'out'))}, (SELECT write_log('a') FROM samples)")
        assert shared.query("SELECT count(*) FROM samples").item() == 6
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_queries_have_no_environment(shared):
    # Python's own environment is what a process starts with.
    code = f"""
import os, pathlib
from molbuffer.storage import SampleStore
with SampleStore.open({str(shared.path)!r}, read_only=True) as store:
    store.query("SELECT 1")
(worker,) = pathlib.Path(f"/proc/self/task/{{os.getpid()}}/children").read_text().split()
print(worker, "hush" in pathlib.Path(f"/proc/{{worker}}/environ").read_text(), os.readlink(f"/proc/{{worker}}/cwd"))
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=os.environ | {"SECRET_TOKEN": "hush"},
        capture_output=True,
        text=True,
        check=True,
    )
    process, told, folder = done.stdout.split()
    assert (told, folder, done.stderr) == ("False", "/", "")
    # It ends with the program.
    assert not Path(f"/proc/{process}").exists()


def workers():
    """The processes of queries of this one."""
    found = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [int(process) for process in found if "query/worker" in Path(f"/proc/{process}/cmdline").read_text()]


def test_a_process_that_was_killed_is_an_error_of_its_query_and_of_no_other(shared):
    shared.query("SELECT 1")
    killer = threading.Timer(0.5, lambda: [os.kill(process, signal.SIGKILL) for process in workers()])
    killer.start()
    with pytest.raises(QueryError, match="SIGKILL"):
        shared.query("SELECT count(*) FROM range(1000000000000)", timeout_seconds=600)
    killer.join()
    assert shared.query("SELECT 1").item() == 1


def test_a_process_is_prepared_only_where_none_is_idle():
    prepare_query_process()
    idle = [*_idle_workers()]
    prepare_query_process()
    assert idle and _idle_workers() == idle


def test_queries_run_at_once(shared):
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda n: shared.query(f"SELECT {n} AS n").item(), range(12))) == list(range(12))
