"""A build by tasks of Prefect, on its threads, in processes, and on local clusters of Dask and Ray."""

import importlib.util
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from molbuffer.flows.build_buffer import build
from molbuffer.flows.errors import WorkersError
from molbuffer.flows.settings.settings import Settings, load_settings
from molbuffer.flows.tasks.chunks import made_here
from molbuffer.flows.tasks.prefect_workers import prefect_workers
from molbuffer.flows.work.building import run_build
from molbuffer.storage import SampleStore

pytestmark = pytest.mark.usefixtures("prefect_server")

RUN_ID = "a" * 32

CAMPAIGN = """
[campaign]
seed = 3

[policy]
prior = "{prior}"

[objective]
components = [{{kind = "qed"}}{component}]

[buffer]
chunk_rows = 8

[[samplers]]
kind = "model"
name = "agent"
buffer_size = 16
p_batch = 0.5
"""

DOCK = ', {{kind = "python", function = "dock_of_test:dock", cost = "high", in_process = true, parameters = {folder}}}'
SCORER = """
import os

def dock(smiles, folder=""):
    with open(folder + "/calls.log", "a") as log:
        log.write(f"{os.getpid()} {smiles}" + chr(10))
    return 0.5
"""


def needs(kind: str, *modules: str) -> pytest.MarkDecorator:
    missing = any(importlib.util.find_spec(name) is None for name in modules)
    return pytest.mark.skipif(missing, reason=f'pip install "molbuffer[{kind}]"')


KINDS = [
    "threads",
    "processes",
    pytest.param("dask", marks=needs("dask", "prefect_dask", "distributed")),
    pytest.param("ray", marks=needs("ray", "prefect_ray", "ray")),
]


@contextmanager
def of_clusters() -> Iterator[None]:
    """Clusters leave sockets and processes to the garbage collector, which warns of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        yield


def settings_of(folder: Path, prior: Path, component: str = "") -> Settings:
    (folder / "campaign.toml").write_text(CAMPAIGN.format(prior=prior, component=component))
    (folder / "dock_of_test.py").write_text(SCORER)
    return load_settings(folder / "campaign.toml")


def rows_of(store: Path) -> list[dict[str, Any]]:
    with SampleStore.open(store, read_only=True) as opened:
        return opened.read_arrow(
            """SELECT b.chunk, s."row", s.smiles, s.rejected_by, m.value AS new FROM {samples} AS s
            JOIN {builds} AS b USING (build_id) JOIN {metrics} AS m ON m.build_id = b.build_id AND m.name = 'new'
            ORDER BY b.chunk, s."row" """
        ).to_pylist()


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, small_prior: Path) -> list[dict[str, Any]]:
    """The rows that one process makes without Prefect."""
    folder = tmp_path_factory.mktemp("alone")
    run_build(settings_of(folder, small_prior).to_json(), str(folder / "store"), made_here, run_id=RUN_ID)
    return rows_of(folder / "store")


def with_runner(settings: Settings, **runner: Any) -> str:
    data = json.loads(settings.to_json())
    data["runner"] |= runner
    return json.dumps(data)


@pytest.mark.parametrize("kind", KINDS)
def test_a_flow_has_its_chunks_and_scores_made_by_tasks(
    kind: str, expected: list[dict[str, Any]], small_prior: Path, tmp_path: Path
) -> None:
    """The build has a component whose molecules are shared: so its chunks are made by tasks, and then its scores."""
    folder = json.dumps({"folder": str(tmp_path)}).replace(":", " =")
    dear = settings_of(tmp_path, small_prior, DOCK.format(folder=folder))
    with of_clusters():
        made = build(with_runner(dear, kind=kind, workers=2), str(tmp_path / "store"), run_id=RUN_ID)
    assert rows_of(tmp_path / "store") == expected
    assert len(json.dumps(made["builds"])) < 3000, "a receipt is small"
    with SampleStore.open(tmp_path / "store", read_only=True) as store:
        attempts = store.read_arrow("SELECT flow_run_id, task_run_id FROM {builds}").to_pylist()
        assert len({each["task_run_id"] for each in attempts} - {None}) == 2, "a task run for each chunk"
        assert len({each["flow_run_id"] for each in attempts} - {None}) == 1
        kept = store.read_arrow("SELECT DISTINCT smiles FROM {samples} WHERE kept")["smiles"].to_pylist()
        scored = store.read_arrow("SELECT count(*) AS n FROM {rewards} WHERE status = 'ok'")["n"][0].as_py()
    calls = [line.split()[1] for line in (tmp_path / "calls.log").read_text().splitlines()]
    assert sorted(calls) == sorted(kept)
    assert scored >= 16


def test_a_cluster_elsewhere_needs_a_server_that_it_reaches(tiny_settings: Settings, monkeypatch: Any) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    remote = Settings.from_json(with_runner(tiny_settings, kind="dask", address="tcp://scheduler.example:8786"))
    with (
        pytest.raises(WorkersError, match=r"prefect server start --host 0\.0\.0\.0"),
        prefect_workers(remote.runner),
    ):
        pass


@needs("ray", "ray", "prefect_ray")
def test_a_cluster_that_asks_for_a_token_says_so_in_one_line(tiny_settings: Settings, tmp_path: Path) -> None:
    settings = Settings.from_json(with_runner(tiny_settings, kind="ray", address="127.0.0.1:1"))
    program = """
from molbuffer.flows.errors import WorkersError
from molbuffer.flows.settings.settings import Settings
from molbuffer.flows.tasks.prefect_workers import prefect_workers
try:
    with prefect_workers(Settings.from_json(input()).runner):
        print("reached")
except WorkersError as error:
    print(error)
"""
    # Ray remembers in its process whether it has a token.
    environment = os.environ | {"RAY_AUTH_MODE": "token", "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], input=settings.to_json(), env=environment, text=True, capture_output=True
    )
    assert done.stdout.startswith("the ray cluster at 127.0.0.1:1 cannot be reached: AuthenticationError: "), (
        done.stderr
    )
