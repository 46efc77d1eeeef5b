"""Runs of MLflow in a database, and a server that does not answer."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.serving import BaseWSGIServer, make_server

import molbuffer as mb
from molbuffer.exchange.errors import LoggerError
from molbuffer.exchange.loggers.following import LogFollower, fill_log
from molbuffer.exchange.loggers.mlflow import CLIENT
from molbuffer.exchange.loggers.points import logged_run


@pytest.fixture(scope="module", autouse=True)
def mlflow() -> Any:
    """MLflow, imported where a case uses it: for each process that collects cases, it was a fifth of the time."""
    return pytest.importorskip("mlflow", reason="pip install 'molbuffer[mlflow]'")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One database for all tests: to make it takes a second."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


def found(database: str, experiment: str) -> Any:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=database)
    known = client.get_experiment_by_name(experiment)
    (run,) = client.search_runs([known.experiment_id])
    return client, run


def points(client: Any, run: Any) -> dict[tuple[str, int], list[float]]:
    by_step: dict[tuple[str, int], list[float]] = {}
    for key in run.data.metrics:
        for each in client.get_metric_history(run.info.run_id, key):
            by_step.setdefault((key, each.step), []).append(each.value)
    return by_step


def test_a_run_has_its_metrics_parameters_and_pictures(trained: tuple[mb.Lab, str], database: str) -> None:
    lab, run_id = trained
    fill_log(lab.store, run_id, mb.MLflow(database))
    client, run = found(database, "tiny run")
    stored = lab.query("SELECT iteration, value FROM metrics WHERE build_id IS NULL AND name = 'loss'").rows()
    history = {step: values for (key, step), values in points(client, run).items() if key == "training/loss"}
    assert history == {step: [value] for step, value in stored}
    assert run.info.status == "FINISHED" and run.data.tags["molbuffer.run_id"] == run_id
    assert run.data.params["seed"] == "3"
    files = [each.path for each in client.list_artifacts(run.info.run_id, "best/molecules")]
    assert files and all(name.startswith("best/molecules/step-0000000") for name in files)
    assert Path(run.info.artifact_uri, "configuration.json").is_file()


def test_a_log_that_was_cut_off_is_continued_and_repeats_nothing(trained: tuple[mb.Lab, str], database: str) -> None:
    lab, run_id = trained
    logger = mb.MLflow(database, experiment="cut off")
    follower = LogFollower(lab.store, logged_run(lab.store, run_id), logger)
    # As if it had been killed in the middle: of some tags there are some steps.
    some = [point for point in _points(lab, run_id) if point.step < 3 or (point.step == 3 and point.tag < "h")]
    follower._log.write(some, ())
    assert fill_log(lab.store, run_id, logger) > 0
    assert fill_log(lab.store, run_id, logger) == 0
    client, run = found(database, "cut off")
    values = points(client, run)
    assert values.keys() >= {(point.tag, point.step) for point in _points(lab, run_id)}
    assert {len(each) for each in values.values()} == {1}


def _points(lab: mb.Lab, run_id: str) -> list[Any]:
    from molbuffer.exchange.loggers.points import points_between, run_state

    return list(points_between(lab.store, run_id, run_state(lab.store, run_id), 0))


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of what the logger sets for the client stays."""
    for name, value in CLIENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BaseWSGIServer]:
    """A tracking server of MLflow, which serves what its client asks for."""
    monkeypatch.setenv("_MLFLOW_SERVER_FILE_STORE", f"sqlite:///{tmp_path}/server.db")
    monkeypatch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", "mlflow-artifacts:/")
    monkeypatch.setenv("_MLFLOW_SERVER_ARTIFACT_DESTINATION", str(tmp_path / "files"))
    monkeypatch.setenv("_MLFLOW_SERVER_SERVE_ARTIFACTS", "true")
    from mlflow.server import app

    made = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    thread.join(10)
    made.server_close()


@pytest.mark.filterwarnings("ignore:starlette.middleware.wsgi is deprecated")
def test_a_tracking_server_has_the_run_and_one_that_dies_is_told_of(
    trained: tuple[mb.Lab, str], server: BaseWSGIServer, tmp_path: Path
) -> None:
    lab, run_id = trained
    address = f"http://127.0.0.1:{server.server_port}"
    assert fill_log(lab.store, run_id, mb.MLflow(address)) > 0
    assert fill_log(lab.store, run_id, mb.MLflow(address)) == 0
    client, run = found(address, "tiny run")
    stored = lab.query("SELECT iteration, value FROM metrics WHERE build_id IS NULL AND name = 'loss'").rows()
    history = {step: values for (key, step), values in points(client, run).items() if key == "training/loss"}
    assert history == {step: [value] for step, value in stored}
    assert next((tmp_path / "files").rglob("step-*.png")).read_bytes().startswith(b"\x89PNG")
    opened = mb.MLflow(address, experiment="dies").open(logged_run(lab.store, run_id))
    server.shutdown()
    server.server_close()
    with pytest.raises(LoggerError, match="does not answer"):
        opened.write(_points(lab, run_id)[:3], ())


def test_a_server_that_does_not_answer_is_told_within_seconds(trained: tuple[mb.Lab, str]) -> None:
    lab, run_id = trained
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began = time.monotonic()
    with pytest.raises(LoggerError, match=f"MLflow at http://127.0.0.1:{port} does not answer"):
        fill_log(lab.store, run_id, mb.MLflow(f"http://127.0.0.1:{port}"))
    assert time.monotonic() - began < 100
