"""Signals end a command at once, with one message; its run can go on, and no process of it stays."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from molbuffer.storage import SampleStore

Command = Callable[..., Any]
COMMAND = Path(sys.executable).with_name("molbuffer")
PATIENCE_SECONDS = 600
HANGING = """
import os, sys, time
from pathlib import Path

def score(smiles):
    here = Path(__file__).parent
    (here / "called").touch()
    while not (here / "released").exists():
        time.sleep(3600)
    return 0.5
"""
HANGS = """
[campaign]
iterations = 1
batch_size = 4
[[objective.components]]
kind = "python"
function = "hanging:score"
{keys}
[[samplers]]
kind = "model"
name = "live"
buffer_size = 4
p_batch = 0.5
"""
STARTS_A_SERVER = """
import os, time
from molbuffer.flows.cli.common.prefect_server import CommandServer
server = CommandServer(180)
print(server.url, flush=True)
if os.fork() == 0:
    # A program that the command forked holds the other end of the server's pipe.
    os.closerange(1, 3)
time.sleep(600)
"""


def wait_for(there: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not there():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def processes_of(parent: int) -> list[int]:
    """The servers that a process started, whether or not it is still there."""
    servers = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if str(parent).encode() in words and any(word.endswith(b"server_process.py") for word in words):
            servers.append(int(folder.name))
    return servers


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    (tmp_path / "hanging.py").write_text(HANGING)
    (tmp_path / "c.toml").write_text(HANGS.format(keys=""))
    return tmp_path


@contextmanager
def in_a_call(folder: Path, *arguments: str, **environment: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A command on ``lab`` that a scorer's call keeps; what it writes goes to ``log``."""
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [COMMAND, *arguments, "--store", "lab"],
            cwd=folder,
            stdout=log,
            stderr=log,
            # One started from a shell in the background would ignore Ctrl-C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            start_new_session=True,
            env={name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"} | environment,
        )
    try:
        wait_for(lambda: (folder / "called").exists() or process.poll() is not None, folder / "log")
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def has_taken_signals(pid: int) -> bool:
    """Whether no signal is pending for a process whose main thread sleeps, or has ended.

    Of two that are pending, Python handles the one with the lower number first.
    """
    status = Path(f"/proc/{pid}/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines())
    pending = int(fields["SigPnd"], 16) | int(fields["ShdPnd"], 16)
    return fields["State"].split()[0] == "Z" or (not pending and fields["State"].split()[0] == "S")


def ended(process: "subprocess.Popen[bytes]", folder: Path, signals: list[int]) -> tuple[int, list[str]]:
    """Send the signals to the group, as a terminal does; return the exit code and the lines of the log."""
    for number in signals:
        os.killpg(process.pid, number)
        wait_for(lambda: has_taken_signals(process.pid), folder / "log")
        time.sleep(0.05)
    # Less than a call of the scorer takes. Prefect would log that it gives up a server that is gone.
    return process.wait(PATIENCE_SECONDS), (folder / "log").read_text().splitlines()


def events(store: Path) -> list[tuple[str, str]]:
    with SampleStore.open(store, read_only=True) as opened:
        return opened.query("SELECT run_id, status FROM run_events ORDER BY created").rows()


def test_ctrl_c_ends_a_build_and_its_own_server_and_the_run_goes_on(campaign: Path, molbuffer: Command) -> None:
    with in_a_call(campaign, "build", "c.toml", "--prefect") as process:
        servers = processes_of(process.pid)
        code, log = ended(process, campaign, [signal.SIGINT, signal.SIGINT])
    [(run_id, started), (_, interrupted)] = events(campaign / "lab")
    assert (code, started, interrupted) == (130, "started", "interrupted")
    assert log[0] == "no Prefect server is configured: this command starts one, which ends with it"
    assert log[1].startswith(f"run {run_id}; ")
    assert len(log) == 4, log
    assert log[3].split() == ["molbuffer", "build", "c.toml", "--prefect", "--store", "lab", "--resume", run_id]
    assert len(servers) == 1
    wait_for(lambda: not processes_of(process.pid), campaign / "log")

    (campaign / "released").touch()
    done = molbuffer("build", campaign / "c.toml", "--store", campaign / "lab", "--resume", run_id, "--prefect")
    assert done.returncode == 0, done.stderr
    assert [status for _, status in events(campaign / "lab")][2:] == ["resumed", "finished"]


@pytest.mark.parametrize("how", ["by Prefect", "without"])
def test_sigterm_ends_a_training_in_the_same_way_whatever_follows_it(
    campaign: Path, with_server: dict[str, str], how: str
) -> None:
    (campaign / "c.toml").write_text(HANGS.format(keys='cost = "high"'))
    # No profile of whoever runs the tests names a server.
    environment = with_server if how == "by Prefect" else {"PREFECT_HOME": str(campaign / "prefect")}
    with in_a_call(campaign, "run", "c.toml", **environment) as process:
        assert processes_of(process.pid) == []
        code, log = ended(process, campaign, [signal.SIGTERM, signal.SIGTERM, signal.SIGINT])
    [(run_id, _), (_, status)] = events(campaign / "lab")
    assert (code, status) == (143, "interrupted"), log
    # Of its worker processes, which a signal to the group may reach first, other modules tell.
    assert not any("Traceback" in line for line in log)
    assert log[-1].split()[-2:] == ["--resume", run_id]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_command_in_a_library_that_does_not_return_ends_too(number: int, code: int) -> None:
    program = [sys.executable, str(Path(__file__).with_name("ending_process.py"))]
    # Tests that nohup started ignore the end of the terminal, and so would what they start.
    with subprocess.Popen(
        program,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        process.send_signal(number)
        _, said = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, said) == (code, "interrupted\n")


def test_a_server_ends_with_a_command_that_is_killed_and_is_not_shared_by_two(tmp_path: Path) -> None:
    environment = {**os.environ, "PREFECT_HOME": str(tmp_path / "prefect")}
    environment.pop("PREFECT_API_URL", None)
    log = tmp_path / "log"
    with log.open("w") as errors:
        commands = [
            subprocess.Popen(
                [sys.executable, "-c", STARTS_A_SERVER],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=environment,
                start_new_session=True,
            )
            for _ in range(2)
        ]
    try:
        # Both make the tables of one new database.
        urls = [command.stdout.readline() for command in commands if command.stdout is not None]
        assert len(set(urls)) == 2, log.read_text()
        assert all(url.startswith("http://127.0.0.1:") for url in urls), log.read_text()
        for command in commands:
            [server] = processes_of(command.pid)
            assert os.getpgid(server) == server
            command.kill()
        for command in commands:
            wait_for(lambda pid=command.pid: not processes_of(pid), log)
    finally:
        for command in commands:
            os.killpg(command.pid, signal.SIGKILL)
            command.communicate()


AT_AN_IMPORT = """
import os, signal, sys

class Stop:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Stop())
from molbuffer.flows.cli import main
sys.argv[1:] = ["runs", "--store", "nowhere"]
main()
"""


@pytest.mark.parametrize("module", ["typer", "molbuffer.flows.cli.campaigns.campaign", "pydantic_core"])
def test_ctrl_c_while_the_command_is_imported_leaves_no_traceback(module: str, tmp_path: Path) -> None:
    program = AT_AN_IMPORT.replace("sys.argv[1]", repr(module))
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")
