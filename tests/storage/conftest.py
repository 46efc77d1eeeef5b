"""What tests of the store share: runs and builds, and processes that write."""

import importlib.util
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from molbuffer.storage import SampleStore
from molbuffer.storage.records import Commit, PolicyVersion, Score
from molbuffer.storage.segments.segment import read_segment

StartProcess = Callable[..., "subprocess.Popen[str]"]
OpenCopy = Callable[[Path], SampleStore]
SCRIPT = Path(__file__).with_name("writer_process.py")


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, SCRIPT.with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def make() -> ModuleType:
    """``make.run``-style helpers of writer_process.py: make_run, make_samples, make_build."""
    return _load("writer_process")


@pytest.fixture(scope="session")
def started_template(empty_store: Path, tmp_path_factory: pytest.TempPathFactory, make: ModuleType) -> Path:
    """A closed store, to be copied, in which run-1 has started."""
    path = shutil.copytree(empty_store, tmp_path_factory.mktemp("started") / "store")
    with SampleStore.open(path) as store:
        store.start_run(make.make_run())
    return path


@pytest.fixture
def started(open_copy: OpenCopy, started_template: Path) -> SampleStore:
    """A store in which run-1 has started."""
    return open_copy(started_template)


@pytest.fixture(scope="session")
def six_commits(tmp_path_factory: pytest.TempPathFactory, make: ModuleType) -> Path:
    """A closed store, to be copied: run-1 with a build and a score in each of six commits."""
    path = tmp_path_factory.mktemp("six") / "store"
    with SampleStore.create(path) as store:
        store.start_run(make.make_run())
        policy = PolicyVersion("policy-1", "gru", run_id="run-1", iteration=0)
        for iteration in range(6):
            build, score = make.make_build(iteration, seed=iteration), Score(f"C{iteration}", "docking", "v1", -1.0)
            store.commit(Commit([build], scores=[score], policies=[policy]))
    return path


@pytest.fixture
def filled(open_copy: OpenCopy, six_commits: Path) -> SampleStore:
    """A store like ``six_commits``, with a decoded cache of its own."""
    return open_copy(six_commits)


PLACES = "SELECT build_id, drawn, segment, segment_offset FROM {placed_builds} AS builds ORDER BY build_id"


@pytest.fixture(scope="session")
def places() -> Callable[..., dict[str, str]]:
    """Which segment each build is in at a version, by build id."""

    def find(store: SampleStore, snapshot: int | None = None) -> dict[str, str]:
        rows = store.read_arrow(PLACES, snapshot=snapshot).to_pylist()
        return {row["build_id"]: row["segment"] for row in rows}

    return find


@pytest.fixture(scope="session")
def content() -> Callable[[SampleStore, int], list[object]]:
    """All that a version says: the rows of its tables, and the arrays of its builds wherever they are."""

    def read(store: SampleStore, snapshot: int) -> list[object]:
        then = store.at(snapshot)
        # A sum of floats would depend on the order in which threads add them.
        counted = then.query('SELECT count(*), bit_xor(hash(build_id, "row", raw, reward)) FROM sample_history').rows()
        said: list[object] = [then.receipts("run-1"), counted]
        for table in (
            "runs",
            "builds",
            "samples",
            "rewards",
            "scores",
            "metrics",
            "policies",
            "checkpoints",
            "readmitted",
        ):
            said.append(then.read_arrow(f"SELECT * FROM {{{table}}} ORDER BY ALL").to_pylist())
        for row in then.read_arrow(PLACES).to_pylist():
            rows = read_segment(store.path / "arrays" / row["segment"], row["segment_offset"], row["drawn"])
            width = int(rows.lengths.max(initial=1))
            arrays = [rows.tokens[:, :width], rows.lengths, rows.log_probs[:, :width], rows.latents]
            arrays += [rows.latent_log_probs, rows.source_tokens, rows.source_lengths]
            said.append([None if array is None else array.tolist() for array in arrays])
        return said

    return read


@pytest.fixture(scope="session")
def forks() -> Iterator[Any]:
    """What forks processes of scripts."""
    made = _load("forking").Forks()
    yield made
    made.close()


@pytest.fixture
def process_of(forks: Any) -> Iterator[StartProcess]:
    """Starts processes of scripts with their arguments, and ends them."""
    processes: list[subprocess.Popen[str]] = []

    def start(script: Path, *arguments: object) -> "subprocess.Popen[str]":
        processes.append(forks.start(script, *arguments))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def writer(process_of: StartProcess) -> StartProcess:
    """Starts a process that writes; see writer_process.py for the roles."""
    return partial(process_of, SCRIPT)


@pytest.fixture
def maintainer(process_of: StartProcess) -> StartProcess:
    """Starts a process that maintains or reads; see maintenance_process.py for the roles."""
    return partial(process_of, SCRIPT.with_name("maintenance_process.py"))
