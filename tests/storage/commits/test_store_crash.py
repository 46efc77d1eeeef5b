"""What is left after a process died, and after several wrote at once."""

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from molbuffer.storage import SampleStore
from molbuffer.storage.files.durable import sync_paths
from molbuffer.storage.records import Commit, RunStatus

WRITER = Path(__file__).parents[1] / "writer_process.py"


def acknowledged(output: str) -> list[str]:
    return re.findall(r"^committed (\w+)$", output, re.MULTILINE)


def stored_builds(store: SampleStore) -> dict[str, int]:
    rows = store.query("SELECT build_id, count(*) AS n FROM sample_history GROUP BY build_id").rows()
    return dict(rows)


@pytest.mark.parametrize("stop", ["arrays written", "rows inserted", "before sync", "before COMMIT"])
def test_killed_before_the_commit_nothing_is_visible(started, make, writer, stop):
    before = started.snapshot()
    process = writer("die", started.path, stop, 5)
    output, errors = process.communicate(timeout=600)
    assert (output, process.returncode) == ("dying\n", -signal.SIGKILL), errors

    assert started.snapshot() == before
    assert stored_builds(started) == {}
    # The segment was written first: it is an orphan, which nothing names.
    assert len(list((started.path / "arrays").iterdir())) == 1
    receipt = started.commit(Commit([make.make_build(5)])).builds[0]
    assert not receipt.repeated
    assert stored_builds(started) == {receipt.build_id: 6}


def test_killed_between_commit_and_acknowledgement_the_retry_is_told_that_it_is_there(started, make, writer):
    process = writer("die", started.path, "before acknowledgement", 5)
    output, errors = process.communicate(timeout=600)
    assert (output, process.returncode) == ("dying\n", -signal.SIGKILL), errors

    receipt = started.commit(Commit([make.make_build(5)])).builds[0]
    assert receipt.repeated
    assert stored_builds(started) == {receipt.build_id: 6}
    assert started.build(receipt.build_id).samples.raw == make.make_build(5).samples.raw


def test_killed_anywhere_keeps_every_acknowledged_build(tmp_path, writer):
    output = ""
    for _ in range(3):
        process = writer("endless", tmp_path / "store")
        for line in process.stdout:
            output += line
            if line.startswith("committed"):
                process.send_signal(signal.SIGKILL)
        process.communicate()

    with SampleStore.open(tmp_path / "store") as store:
        stored = stored_builds(store)
        assert set(stored.values()) == {6}
        assert set(acknowledged(output)) <= set(stored)
        # At most one a kill was committed and not yet acknowledged.
        assert len(stored) - len(set(acknowledged(output))) <= 3
        for build_id in stored:
            assert len(store.build(build_id).samples) == 6


def test_r3_processes_that_race_for_one_build_commit_it_once(tmp_path, writer):
    processes = [writer("race", tmp_path / "store", 0, 6) for _ in range(3)]
    outputs = [process.communicate(timeout=600) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], outputs

    committed = [build_id for output, _ in outputs for build_id in acknowledged(output)]
    with SampleStore.open(tmp_path / "store") as store:
        stored = stored_builds(store)
        assert sorted(committed) == sorted(stored)
        assert (len(stored), set(stored.values())) == (6, {6})
        assert store.read_arrow("SELECT count(*) AS n FROM {runs}")["n"][0].as_py() == 1
        events = store.query("SELECT status, count(*) FROM run_events GROUP BY status ORDER BY status").rows()
        assert events == [("resumed", 2), ("started", 1)]


def test_a_reader_is_not_blocked_and_sees_whole_builds_while_others_write(tmp_path, writer):
    process = writer("race", tmp_path / "store", 0, 8)
    assert process.stdout.readline().startswith("committed")
    sizes = []
    with SampleStore.open(tmp_path / "store", read_only=True) as store:
        while process.poll() is None:
            sizes.append(stored_builds(store))
        process.communicate()
        sizes.append(stored_builds(store))
    assert all(set(found.values()) == {6} for found in sizes)
    assert len(sizes[-1]) == 8


def test_r1_scores_are_durable_when_record_scores_returns(started, writer):
    process = writer("score", started.path)
    output, errors = process.communicate(timeout=600)
    assert (output, process.returncode) == ("recorded\n", -signal.SIGKILL), errors
    assert started.find_scores("docking", "v1", ["CC"])["CC"].value == -7.5


def test_a_moved_and_a_copied_folder_open(started, make, tmp_path):
    build = make.make_build()
    started.commit(Commit([build]))
    uuid = started.uuid
    started.close()
    shutil.copytree(started.path, tmp_path / "copy")
    (tmp_path / "elsewhere").mkdir()
    started.path.rename(tmp_path / "elsewhere" / "moved")

    for path in (tmp_path / "copy", tmp_path / "elsewhere" / "moved"):
        with SampleStore.open(path) as store:
            assert store.uuid == uuid
            assert store.start_run(make.make_run()) is RunStatus.RESUMED
            assert store.build(build.build_id).samples.raw == build.samples.raw
            store.commit(Commit([make.make_build(1)]))
            assert len(store.query("FROM sample_history")) == 12
            files = store.query("SELECT count(*) FROM samples").item()
            assert files == 12


def test_r10_every_parquet_file_and_its_folders_are_synced_before_the_commit_is_visible(tmp_path, make):
    synced = []
    visible = []

    def sync(paths):
        listed = list(paths)
        sync_paths(listed)
        synced.extend(listed)
        if observer:
            visible.append(observer[0].snapshot())

    observer = []
    with SampleStore.create(tmp_path / "store", sync=sync) as store:
        store.start_run(make.make_run())
        observer.append(SampleStore.open(tmp_path / "store", read_only=True))
        before = store.snapshot()
        synced.clear()
        store.commit(Commit([make.make_build()]))
        files = set((tmp_path / "store" / "tables").rglob("*.parquet"))
        observer.pop().close()
    assert visible == [before]
    written = {path for path in synced if path.suffix == ".parquet"}
    assert {path.parent.name for path in written} == {"samples", "builds", "rewards", "metrics"}
    assert written <= files
    assert {
        parent for path in written for parent in path.parents if parent.is_relative_to(tmp_path / "store/tables")
    } <= set(synced)


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_r10_the_system_calls_sync_arrays_and_tables_before_the_catalog(started, tmp_path):
    log = tmp_path / "trace"
    command = ["strace", "-f", "-y", "-s", "0", "-e", "trace=fsync,fdatasync", "-o", str(log)]
    script = [sys.executable, str(WRITER), "race", str(started.path), "0", "1"]
    if subprocess.run(["strace", "-e", "trace=fsync", "true"], capture_output=True).returncode != 0:
        pytest.skip("this machine lets nobody trace")
    subprocess.run([*command, *script], check=True, capture_output=True, timeout=600)

    root = re.escape(str(started.path))
    synced = re.findall(rf"(?:fsync|fdatasync)\(\d+<{root}/?([^>]*)>", log.read_text())
    commit = max(place for place, path in enumerate(synced) if path.startswith("catalog.sqlite"))
    names = ("samples", "builds", "rewards", "metrics")
    tables = [place for place, path in enumerate(synced) if re.match(rf"tables/main/({'|'.join(names)})/", path)]
    folders = [synced.index(f"tables/main/{name}") for name in names]
    arrays = [place for place, path in enumerate(synced) if path.startswith("arrays/")]
    assert len(tables) == 4
    assert arrays
    assert max(arrays) < min(tables) <= max([*tables, *folders]) < commit
