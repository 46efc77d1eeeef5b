"""What Prefect adds to a flow run and to a task, on a server of its own on this machine.

    python benchmarks/training/bench_prefect.py [--tasks 400] [--rounds 3] [--server]

A flow whose tasks do nothing is timed with 0 and with many tasks; what it takes is what Prefect adds. The heartbeat
thread rounds a flow run up to whole seconds, so that few tasks would tell little about one.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from contextlib import nullcontext

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
    """So many tasks, one after another."""
    return sum(receive(BuildRequest("store", "run", 0, 0, chunk, 384, "0" * 64))["kept"] for chunk in range(tasks))


def seconds(tasks: int) -> float:
    started = time.perf_counter()
    run_tasks(tasks)
    return time.perf_counter() - started


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--tasks", type=int, default=400, help="tasks of the longer flow")
    arguments.add_argument("--rounds", type=int, default=3, help="runs of each flow, of which the median counts")
    arguments.add_argument("--server", action="store_true", help="on the server that PREFECT_API_URL names instead")
    chosen = arguments.parse_args()
    with nullcontext() if chosen.server else prefect_test_harness(server_startup_timeout=180):
        seconds(1)  # imports, the first connection
        empty = statistics.median(seconds(0) for _ in range(chosen.rounds))
        full = statistics.median(seconds(chosen.tasks) for _ in range(chosen.rounds))
    print(f"a flow run:  {empty:.2f} s")
    print(f"a task:      {(full - empty) / chosen.tasks * 1000:.1f} ms ({chosen.tasks} tasks, {full:.2f} s)")


if __name__ == "__main__":
    main()
