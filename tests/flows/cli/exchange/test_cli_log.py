"""``[logging]`` of a configuration, and ``molbuffer log``, which fills a log in afterwards."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from molbuffer.flows.settings import ConfigurationError, load_settings

Command = Callable[..., Any]
LOGGING = """
[logging]
tensorboard = "runs"
pictures_every = 2
"""


def event_files(folder: Path) -> dict[str, list[bytes]]:
    """The events of each run, whatever the portions in which they were written."""
    from molbuffer.exchange.loggers.tensorboard import records

    found = {}
    for path in folder.rglob("*tfevents*"):
        with path.open("rb") as file:
            found[path.parent.name] = sorted(data for data, _ in records(file))
    return found


def test_a_campaign_is_logged_and_a_log_made_afterwards_is_the_same(
    molbuffer: Command, tiny_config: Path, tmp_path: Path
) -> None:
    pytest.importorskip("tensorboard", reason="pip install 'molbuffer[tensorboard]'")
    tiny_config.write_text(tiny_config.read_text() + LOGGING)
    store = tmp_path / "lab"
    ran = molbuffer("run", tiny_config, "--store", store, "--json")
    assert ran.returncode == 0, ran.stderr
    run_id = json.loads(ran.stdout)["run_id"]
    live = event_files(tmp_path / "runs")
    assert list(live) == [f"tiny-{run_id[:8]}"]
    logged = molbuffer("log", "--store", store, "--to", "tensorboard", "--out", tmp_path / "later", "--run", run_id[:6])
    assert logged.returncode == 0, logged.stderr
    assert event_files(tmp_path / "later") == live
    again = molbuffer("log", "--store", store, "--to", "tensorboard")
    assert again.stderr == f"run {run_id[:8]}: 0 points and pictures written to {tmp_path / 'runs'}\n"
    offline = molbuffer("offline", tiny_config, "--store", store, "--json")
    name = f"tiny-{json.loads(offline.stdout)['run_id'][:8]}"
    assert len(event_files(tmp_path / "runs")[name]) > 30


def test_a_run_that_names_no_such_logger_asks_for_a_place(molbuffer: Command, scored_store: Path) -> None:
    refused = molbuffer("log", "--store", scored_store, "--to", "mlflow")
    assert refused.returncode == 1
    assert "has no logger in [logging]" in refused.stderr and "add --out PLACE, to which mlflow" in refused.stderr
    unknown = molbuffer("log", "--store", scored_store, "--to", "nope")
    assert "--to nope: there is no logger of this name; expected one of tensorboard, mlflow" in unknown.stderr
    strange = molbuffer("log", "--store", scored_store, "--to", "wandb", "--out", "somewhere")
    assert strange.returncode == 1 and "got --to wandb" in strange.stderr


@pytest.mark.parametrize(("key", "value"), [("tensorboard", "runs"), ("mlflow", "sqlite:///mlflow.db")])
def test_a_missing_package_is_a_problem_of_the_configuration(
    tiny_config: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: str
) -> None:
    text = tiny_config.read_text()
    tiny_config.write_text(f'{text}\n[logging]\n{key} = "{value}"\n')
    line = len(text.splitlines()) + 3
    monkeypatch.setattr("molbuffer.exchange.errors.importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=re.escape(f'pip install "molbuffer[{key}]"')) as caught:
        load_settings(tiny_config)
    assert [(each.line, each.key) for each in caught.value.problems] == [(line, f"logging.{key}")]


def test_a_place_that_mlflow_does_not_write_is_a_problem_of_the_configuration(tiny_config: Path) -> None:
    pytest.importorskip("mlflow", reason="pip install 'molbuffer[mlflow]'")
    tiny_config.write_text(f'{tiny_config.read_text()}\n[logging]\nmlflow = "mlruns"\n')
    with pytest.raises(ConfigurationError, match="expected the address of an MLflow server or of a database"):
        load_settings(tiny_config)
