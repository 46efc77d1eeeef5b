"""Measure the time that Prefect adds to a flow run and to a task, on a separate server on this machine.

    python benchmarks/training/bench_prefect.py [--tasks 400] [--rounds 3] [--server] [--commands] [--starts]

A flow whose tasks do nothing is timed with 0 tasks and with many; all of its time is that of Prefect. The heartbeat
thread rounds the time of a flow run up to whole seconds, so that a few tasks would give no precise time of one.

With ``--commands``, commands that need no flow run on a new store, each in a process: the table has the seconds,
whether the command has imported Prefect, and whether it has started a server, which none of them may do.

With ``--starts``, a run of one iteration of 8 molecules is timed as a Prefect flow with a server of its own, and
without Prefect: the table has CPU seconds, including those of the server.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

os.environ.setdefault("PREFECT_LOGGING_LEVEL", "ERROR")
# A server that is stopped with events in flight logs them as errors.
os.environ.setdefault("PREFECT_SERVER_LOGGING_LEVEL", "CRITICAL")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.testing.utilities import prefect_test_harness

from molbuffer.flows import BuildRequest


@task(cache_policy=NO_CACHE)
def receive(request: BuildRequest) -> dict[str, int]:
    """A task with the parameters and the result of a build, and no work."""
    return {"chunk": request.chunk, "kept": request.wanted}


@flow(validate_parameters=False)
def run_tasks(tasks: int) -> int:
    """Run a number of tasks, one after another."""
    return sum(receive(BuildRequest("store", "run", 0, 0, chunk, 384, "0" * 64))["kept"] for chunk in range(tasks))


def seconds(tasks: int) -> tuple[float, float]:
    """Return the wall time, and the CPU time of this process alone, which a busy machine hardly changes."""
    started, worked = time.perf_counter(), time.process_time()
    run_tasks(tasks)
    return time.perf_counter() - started, time.process_time() - worked


def medians(tasks: int, rounds: int) -> tuple[float, float]:
    taken, worked = zip(*(seconds(tasks) for _ in range(rounds)), strict=True)
    return statistics.median(taken), statistics.median(worked)


WITHOUT_A_FLOW = (
    "init --store lab",
    "config check demo.toml --store lab",
    "runs --store lab",
    "top --store lab",
    "query --store lab SELECT(1)",
    "snapshots --store lab",
    "policies --store lab",
    "maintain --store lab",
    "verify --store lab",
    "export --store lab --out all.parquet",
    "kinds",
    "deploy demo.toml --store lab --yaml prefect.yaml",
    "deploy --check",
)
"""Commands that need no flow; the last one ends with exit code 1, since there is no server."""


def time_commands() -> None:
    """Print the time of each command without a flow, and end with an error if one has started a server."""
    started = []
    with tempfile.TemporaryDirectory() as folder:
        demo = Path(__file__).parents[2] / "flows" / "tools" / "demo.toml"
        (Path(folder) / "demo.toml").write_text(demo.read_text())
        environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
        environment["PREFECT_HOME"] = str(Path(folder) / "prefect")
        for command in WITHOUT_A_FLOW:
            program = "from molbuffer.flows.cli import main; main()"
            before = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-X", "importtime", "-c", program, *command.split()],
                cwd=folder, env=environment, capture_output=True, text=True,
            )  # fmt: skip
            seconds_taken = time.perf_counter() - before
            imported = any(line.endswith(" prefect") for line in done.stderr.splitlines())
            assert done.returncode == 0 or command == "deploy --check", done.stderr[-2000:]
            # The lock of the command's own server is in Prefect's folder.
            if (Path(folder) / "prefect" / "molbuffer-server.lock").exists():
                started.append(command)
            print(f"{seconds_taken:5.1f} s  {'imports Prefect' if imported else '':16}molbuffer {command}")
    if started:
        sys.exit(f"started a server: {', '.join(started)}")
    print("none has started a server")


SMALLEST = """
[campaign]
iterations = 1
batch_size = 8
[[objective.components]]
kind = "qed"
[[samplers]]
kind = "model"
name = "live"
buffer_size = 8
p_batch = 0.5
"""


def time_starts(rounds: int) -> None:
    """Print the time of a run that consists mostly of its start, with Prefect and without."""
    taken: dict[str, list[float]] = {"--prefect": [], "--no-prefect": []}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "smallest.toml").write_text(SMALLEST)
        environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
        # The first server makes the tables of Prefect's database; later ones find them.
        environment["PREFECT_HOME"] = str(Path(folder) / "prefect")
        for number, how in enumerate([*taken] * rounds):
            program = "from molbuffer.flows.cli import main; main()"
            before = _of_children()
            subprocess.run(
                [sys.executable, "-c", program, "run", "smallest.toml", "--store", f"lab-{number}", how],
                cwd=folder, env=environment, capture_output=True, check=True,
            )  # fmt: skip
            taken[how].append(_of_children() - before)
    for how, seconds_taken in taken.items():
        print(
            f"{statistics.median(seconds_taken):5.1f} s of CPU, {seconds_taken[0]:.1f} at first:  molbuffer run {how}"
        )


def _of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--tasks", type=int, default=400, help="tasks of the longer flow")
    arguments.add_argument("--rounds", type=int, default=3, help="runs of each flow, of which the median counts")
    arguments.add_argument("--server", action="store_true", help="on the server that PREFECT_API_URL names instead")
    arguments.add_argument("--commands", action="store_true", help="what commands without a flow take, instead")
    arguments.add_argument("--starts", action="store_true", help="what a run takes that only starts, instead")
    chosen = arguments.parse_args()
    if chosen.commands or chosen.starts:
        time_commands() if chosen.commands else time_starts(chosen.rounds)
        return
    with nullcontext() if chosen.server else prefect_test_harness(server_startup_timeout=180):
        seconds(1)  # imports, the first connection
        (empty, idle), (full, worked) = medians(0, chosen.rounds), medians(chosen.tasks, chosen.rounds)
    print(f"a flow run:  {empty:.2f} s, {idle:.2f} s of CPU")
    a_task, of_cpu = (full - empty) / chosen.tasks * 1000, (worked - idle) / chosen.tasks * 1000
    print(f"a task:      {a_task:.1f} ms, {of_cpu:.1f} ms of CPU ({chosen.tasks} tasks, {full:.2f} s)")


if __name__ == "__main__":
    main()
