"""Runs without Prefect: when commands choose that, and that nothing else is different."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from molbuffer.flows.cli.campaigns import work
from molbuffer.flows.cli.campaigns.work import by_prefect
from molbuffer.flows.cli.common import prefect_settings
from molbuffer.flows.settings.settings import Settings
from molbuffer.storage import SampleStore

ROWS = """SELECT iteration, event, sampler, chunk, "row", smiles, raw, kept, reward FROM sample_history
    ORDER BY iteration, event, sampler, chunk, "row" """


@pytest.fixture
def without_prefect(molbuffer: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Runs a command with --no-prefect and returns its result; Prefect must not be set up for it."""

    def run(*arguments: object) -> dict[str, Any]:
        with monkeypatch.context() as without:
            without.setattr(work, "prefect_ready", None)
            done = molbuffer(*arguments, "--no-prefect", "--json")
        assert done.returncode == 0, done.stderr
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    return run


def test_a_run_without_prefect_has_the_rows_and_the_policy_of_the_flow(
    tmp_path: Path, tiny_config: Path, without_prefect: Callable[..., Any], molbuffer: Callable[..., Any]
) -> None:
    result = without_prefect("run", tiny_config, "--store", tmp_path / "own")
    done = molbuffer("run", tiny_config, "--store", tmp_path / "flow", "--prefect", "--json")
    flow = json.loads(done.stdout)
    assert result["policy"] == flow["policy"]
    with SampleStore.open(tmp_path / "own") as one, SampleStore.open(tmp_path / "flow") as other:
        assert one.query(ROWS).equals(other.query(ROWS))
        built = "SELECT DISTINCT task_run_id IS NULL FROM builds WHERE event = 'build_buffer'"
        assert (one.query(built).rows(), other.query(built).rows()) == ([(True,)], [(False,)])
        attempts = "SELECT DISTINCT attempt_id FROM builds WHERE event = 'build_buffer'"
        assert one.query(attempts).rows() == [(f"{result['run_id']}/1",)]


def test_a_build_and_an_offline_training_do_without_prefect(
    tmp_path: Path, tiny_config: Path, without_prefect: Callable[..., Any]
) -> None:
    assert without_prefect("build", tiny_config, "--store", tmp_path / "lab")["kept"] == 24
    offline = without_prefect("offline", tiny_config, "--store", tmp_path / "lab")
    assert (offline["iterations"], offline["rows"]) == (3, 24)


def test_pretraining_does_without_prefect(tmp_path: Path, without_prefect: Callable[..., Any]) -> None:
    (tmp_path / "own.smi").write_text("".join(f"{'C' * length}O\n" for length in range(1, 21)))
    sizes = ["--layers", "1", "--hidden-size", "8", "--embedding-size", "8", "--epochs", "1", "--draws", "4"]
    trained = without_prefect("pretrain", tmp_path / "own.smi", "--store", tmp_path / "lab", *sizes)
    with SampleStore.open(tmp_path / "lab", read_only=True) as store:
        assert store.run(trained["run_id"]).run_id == trained["run_id"]


def test_the_work_without_prefect_does_not_import_it() -> None:
    """Nor the parts of SciPy that few runs need. What it imports is not gone over for garbage, and what follows is."""
    code = """import gc, sys
from molbuffer.flows.cli.campaigns import work
for each in (work.online_work, work.build_work, work.offline_work, work.pretrain_work):
    each(flows=False)
import molbuffer.flows.tools.demo
print(*(name in sys.modules for name in ("prefect", "scipy.linalg", "scipy.special._ufuncs", "torch")))
print(gc.isenabled(), gc.get_freeze_count() > 100_000)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "False", "True", "True", "True"]


def with_runner(settings: Settings, kind: str, *, offline: bool = False) -> Settings:
    campaign = settings.campaign.model_copy(update={"offline": offline})
    runner = settings.runner.model_copy(update={"kind": kind})
    return settings.model_copy(update={"campaign": campaign, "runner": runner})


@pytest.mark.parametrize("configured", [False, True])
def test_what_is_asked_for_counts_and_then_the_runner_and_the_server(
    configured: bool, tiny_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "server_is_configured", lambda: configured)
    cluster = with_runner(tiny_settings, "dask")
    assert by_prefect(True, tiny_settings)
    assert not by_prefect(False, cluster)
    assert by_prefect(None, cluster)
    assert by_prefect(None, with_runner(tiny_settings, "ray"))
    for settings in (None, with_runner(tiny_settings, "processes"), with_runner(tiny_settings, "dask", offline=True)):
        assert by_prefect(None, settings) is configured


def test_a_program_that_has_imported_prefect_has_set_it_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefect_settings, "names_a_server", lambda *_: False)
    monkeypatch.delitem(sys.modules, "prefect", raising=False)
    assert not prefect_settings.server_is_configured()
    monkeypatch.setitem(sys.modules, "prefect", sys)
    assert prefect_settings.server_is_configured()


CHOSEN = """
import sys
from molbuffer.flows.cli import app
from molbuffer.flows.cli.campaigns import work

def build_work(*, flows):
    print("by Prefect" if flows else "without", "prefect" in sys.modules)
    return lambda *_, **__: {}

from molbuffer.flows.cli.campaigns import campaign
campaign.build_work, campaign.surroundings = build_work, lambda *_, **__: __import__("contextlib").nullcontext()
app(sys.argv[1:])
"""


@pytest.mark.parametrize(
    ("profile", "chosen"), [("", "without"), ('PREFECT_API_URL = "http://host/api"', "by Prefect")]
)
def test_a_command_chooses_by_the_active_profile_without_importing_prefect(
    profile: str, chosen: str, tiny_config: Path, tmp_path: Path
) -> None:
    (tmp_path / "prefect").mkdir()
    (tmp_path / "prefect" / "profiles.toml").write_text(f'active = "default"\n[profiles.default]\n{profile}\n')
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    done = subprocess.run(
        [sys.executable, "-c", CHOSEN, "build", str(tiny_config), "--store", str(tmp_path / "lab")],
        env=environment | {"PREFECT_HOME": str(tmp_path / "prefect")},
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.stdout.splitlines()[0] == f"{chosen} False", done.stderr


def test_without_a_server_nothing_is_said_of_prefect(tiny_config: Path, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    done = subprocess.run(
        [Path(sys.executable).with_name("molbuffer"), "build", str(tiny_config), "--store", "lab"],
        env=environment | {"PREFECT_HOME": str(tmp_path / "prefect")},
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "refect" not in done.stderr + done.stdout
    # Neither has it started a server, whose lock and database would be there.
    assert not (tmp_path / "prefect").exists()
