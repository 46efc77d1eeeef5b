"""The demonstration, with smaller sizes: the whole way, and a summary in which nothing is missing."""

import re
import shlex
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from molbuffer.flows.cli import app
from molbuffer.flows.settings.settings import Settings
from molbuffer.flows.tools.demo import DemoReport, demo_settings, print_report, run_demo
from molbuffer.flows.train import train
from molbuffer.flows.train_offline import train_offline

pytestmark = pytest.mark.usefixtures("prefect_server")


def smaller(settings: Settings) -> Settings:
    """The demonstration's own configuration, cut down to seconds."""
    campaign = settings.campaign.model_copy(update={"iterations": 12, "batch_size": 8})
    samplers = tuple(each.model_copy(update={"buffer_size": 16}) for each in settings.samplers)
    offline = settings.offline.model_copy(update={"steps": 2, "batch_size": 8})
    return settings.model_copy(update={"campaign": campaign, "samplers": samplers, "offline": offline})


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, prefect_server: None) -> DemoReport:
    store = tmp_path_factory.mktemp("demo") / "my store"
    return run_demo(smaller(demo_settings()), store, train, train_offline, draws=20)


def printed(report: DemoReport) -> str:
    console = Console(file=StringIO(), width=200)
    print_report(report, console)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_the_demonstration_trains_and_compares_three_policies(report: DemoReport) -> None:
    assert [result.name for result in report.policies] == ["prior", "online", "offline"]
    assert len({result.sha256 for result in report.policies}) == 3
    assert [len(result.evaluation.rewards) for result in report.policies] == [20, 20, 20]
    assert [result.gain is None for result in report.policies] == [True, False, False]
    # Builds at iterations 0 and 10 and when the buffer is used up, and 4 live rows of each batch of 8.
    assert report.kept >= 2 * 16 + 12 * 4
    assert report.rows >= report.kept
    assert 0 < report.first_reward < 1
    assert 0 < report.last_reward < 1
    assert report.best.height == 10
    assert report.best["reward"].is_sorted(descending=True)


def test_the_summary_lists_all_that_was_stored_and_gained(report: DemoReport) -> None:
    text = printed(report)
    assert "resemble celecoxib. The prior has a low mean reward:" in text
    assert f"{report.rows} rows ({report.kept} kept)" in text
    assert f"{report.first_reward:.3f} in the first 10 iterations, {report.last_reward:.3f} in the last 10" in text
    assert "20 fresh draws of each policy" in text
    for result in report.policies:
        assert re.search(rf"{result.name}\W+{result.evaluation.mean_reward:.3f}", text)
    for event in ("build_buffer", "sample_batch"):
        assert f"live, {event}" in text
    for smiles in report.best["smiles"]:
        assert smiles in text
    assert f"The store: {report.store}" in text


def test_the_commands_to_try_next_work(report: DemoReport, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lines = printed(report).split("Try next:\n")[1].splitlines()
    assert [shlex.split(line)[1] for line in lines] == ["report", "explore", "top", "query", "sample"]
    monkeypatch.chdir(tmp_path)
    for line in lines:
        program, *arguments = shlex.split(line)
        assert Path(program).name in ("molbuffer", Path(sys.argv[0]).name)
        if arguments[0] == "explore":
            # It serves until it is interrupted: its own tests open it.
            continue
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
        assert result.stdout
    # Where the environment is not active, the command is named by the path that it was started with.
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", [".venv/bin/molbuffer", "demo"])
    assert "  .venv/bin/molbuffer top" in printed(report)
