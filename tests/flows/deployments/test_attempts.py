"""Retries that resume, an end after some hours, the files that a host must have, and the names of files of a night."""

import errno
import json
import os
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from molbuffer.flows.cli import app
from molbuffer.flows.deployments.attempts import OverdueError, ended_after, resumed_after_errors
from molbuffer.flows.deployments.host_files import local_files, refuse_missing
from molbuffer.flows.deployments.outputs import dated
from molbuffer.flows.errors import UsageError
from molbuffer.flows.settings.settings import load_settings
from molbuffer.storage.errors import StoreBusyError


def test_what_can_pass_is_tried_again_after_longer_and_longer_waits() -> None:
    errors, waits = [StoreBusyError("locked"), OSError(errno.EIO, "a disk"), None], []

    def work() -> str:
        if (error := errors.pop(0)) is not None:
            raise error
        return "done"

    assert resumed_after_errors(work, 2, wait=waits.append, first=3) == "done"
    assert waits == [3, 6]


def test_no_more_than_the_retries_and_nothing_that_would_be_the_same() -> None:
    calls: list[Exception] = []

    def fail(error: Exception) -> None:
        calls.append(error)
        raise error

    with pytest.raises(StoreBusyError):
        resumed_after_errors(lambda: fail(StoreBusyError("locked")), 2, wait=lambda _: None)
    assert len(calls) == 3
    with pytest.raises(ValueError, match="a bug"):
        resumed_after_errors(lambda: fail(ValueError("a bug")), 2, wait=lambda _: None)
    assert len(calls) == 4


def test_work_ends_after_its_hours_and_is_not_tried_again() -> None:
    begun = []

    def work() -> None:
        begun.append(True)
        # In short steps: pytest has the alarm that ends a long call, so that a thread has to end this.
        for _ in range(600):
            time.sleep(0.1)

    with pytest.raises(OverdueError, match="has not ended within 5e-05 hours"), ended_after(0.00005):
        resumed_after_errors(work, 3)
    assert len(begun) == 1


def test_a_process_of_one_flow_run_ends_also_when_its_work_takes_no_notice() -> None:
    program = """
import time
from molbuffer.flows.deployments import attempts
attempts.GRACE_SECONDS = 0.2
with attempts.ended_after(0.00005):
    while True:
        try:
            time.sleep(1)
        except BaseException:
            pass
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {"PREFECT__FLOW_RUN_ID": "any"}, timeout=120
    )
    assert done.returncode == 1


def test_files_of_settings_are_listed_and_missed_with_advice(tiny_config: Path) -> None:
    (tiny_config.parent / "mine.py").write_text("def score(smiles):\n    return 0.5\n")
    (tiny_config.parent / "weights.bin").write_text("1")
    (tiny_config.parent / "some.smi").write_text("CCO\n")
    component = 'kind = "python"\nfunction = "mine:score"\nfiles = ["weights.bin"]'
    text = tiny_config.read_text().replace('kind = "qed"', component)
    sampler = '[[samplers]]\nkind = "dataset"\nname = "file"\npath = "some.smi"\nbuffer_size = 1\n\n[training]'
    tiny_config.write_text(text.replace("[training]", sampler))
    settings = load_settings(tiny_config).model_dump(mode="json")
    assert {each.path.name: each.key for each in local_files(settings)} == {
        "mine.py": "objective.components.0.folder",
        "weights.bin": "objective.components.0.folder",
        "some.smi": "samplers.1.path",
    }
    refuse_missing(settings)
    (tiny_config.parent / "some.smi").unlink()
    with pytest.raises(UsageError, match=r"some\.smi \(key `samplers\.1\.path`\).*Copy them to the same paths here"):
        refuse_missing(settings)


def test_a_module_that_is_installed_is_no_file_of_this_host(tiny_config: Path) -> None:
    text = tiny_config.read_text().replace('kind = "qed"', 'kind = "python"\nfunction = "textwrap:dedent"')
    tiny_config.write_text(text)
    assert local_files(load_settings(tiny_config).model_dump(mode="json")) == []


def test_deploy_lists_files_of_this_host_and_refuses_them_when_told(tiny_config: Path, tmp_path: Path) -> None:
    (tmp_path / "some.smi").write_text("CCO\n")
    sampler = '[[samplers]]\nkind = "dataset"\nname = "file"\npath = "some.smi"\nbuffer_size = 1\n\n[training]'
    tiny_config.write_text(tiny_config.read_text().replace("[training]", sampler))
    words = ["deploy", str(tiny_config), "--store", str(tmp_path / "lab"), "--yaml", str(tmp_path / "prefect.yaml")]
    listed = CliRunner().invoke(app, words)
    assert listed.exit_code == 0, listed.output
    assert f"{tmp_path}/some.smi (key `samplers.1.path`)" in listed.stderr
    refused = CliRunner().invoke(app, [*words, "--portable"])
    assert refused.exit_code == 1
    assert "without --portable they are only listed" in refused.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--cron", "every night"], "expected a schedule in cron's notation"),
        (["--cron", "0 2 * * *", "--cron", "build=0 3 * * *"], "expected one schedule for build"),
        (["--cron", "bild=0 2 * * *"], "no flow; did you mean `build`?"),
        (["--timezone", "Mars/Olympus"], "expected a time zone such as UTC or Europe/Berlin"),
        (["--set", "campaign.name=3"], "campaign.name"),
    ],
)
def test_mistakes_are_found_before_any_server_is_asked(
    tiny_config: Path, tmp_path: Path, words: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("molbuffer.flows.deployments.deploy.server", lambda: pytest.fail("a server was asked"))
    result = CliRunner().invoke(app, ["deploy", str(tiny_config), "--store", str(tmp_path / "lab"), *words])
    assert (result.exit_code, result.stdout) == (1, "")
    assert said in result.stderr


def test_without_a_server_nothing_is_started_and_the_advice_names_the_commands(tmp_path: Path) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        result = CliRunner().invoke(app, ["deploy", "--check", "--json"])
    assert result.exit_code == 1
    (server,) = json.loads(result.stdout)
    assert (server["what"], server["ok"]) == ("server", False)
    assert "prefect server start" in server["said"]


def test_files_of_a_night_have_its_date(tmp_path: Path) -> None:
    made = dated(str(tmp_path / "new" / "lab-{date}-{time}.tar"))
    assert made.parent.is_dir()
    assert re.fullmatch(rf"lab-{datetime.now(UTC):%Y-%m}-\d\d-\d{{6}}\.tar", made.name)
    with pytest.raises(UsageError, match=r"at most \{date\} and \{time\}"):
        dated("{night}.tar")
