"""The README's commands, run as a newcomer would, in an empty folder and in the order they stand there."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
# The example is meant for a real campaign; its sizes are cut down so that the test takes seconds.
SMALLER = {
    "iterations = 100": "iterations = 2",
    "batch_size = 64": "batch_size = 16",
    "buffer_size = 384": "buffer_size = 24",
    "steps = 500": "steps = 2",
}


def readme_commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("molbuffer ")]


@pytest.fixture
def run(tmp_path: Path, molbuffer: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Runs a command line of the README in an empty folder, and returns its standard output."""
    monkeypatch.chdir(tmp_path)

    def command_line(line: str) -> str:
        command, _, target = line.partition(" > ")
        done = molbuffer(*shlex.split(command)[1:], COLUMNS="200")
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        if target:
            Path(target).write_text(done.stdout)
        return str(done.stdout)

    return command_line


@pytest.mark.timeout(600)
def test_the_commands_of_the_readme_work_in_their_order(
    run: Callable[[str], str], tmp_path: Path, postgres_server: str, s3_environment: str
) -> None:
    servers = {"postgres://chem@db.example/lab": f"{postgres_server}/postgres", "s3://lab-bucket/store": s3_environment}
    commands = readme_commands()
    for example, here in servers.items():
        assert sum(example in command for command in commands) == 1
        commands = [command.replace(example, here) for command in commands]
    assert [command.split()[1] for command in commands[:6]] == ["config", "config", "run", "offline", "top", "query"]
    for command in commands:
        output = run(command.replace("--draws 1000", "--draws 20"))
        if " > " in command:
            config = tmp_path / "campaign.toml"
            text = config.read_text()
            for full, small in SMALLER.items():
                assert full in text
                text = text.replace(full, small)
            config.write_text(text)
        if "FROM sample_history" in command:
            assert "build_buffer" in output
            assert "sample_batch" in output
    query = 'molbuffer query --store lab "SELECT * FROM sample_history" --format json'
    rows = json.loads(run(query))
    assert {row["run_name"] for row in rows} == {"demo"}
    assert all(row["policy_sha256"] for row in rows)


def test_the_readme_names_the_two_commands_and_make_has_them() -> None:
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    for target in ("demo", "test"):
        assert f"make {target}" in readme
        assert f"\n{target}:" in makefile
