"""Measure the speed-up of builds by several worker processes, and their memory over many builds.

    python benchmarks/training/bench_runners.py [--rows 512] [--busy 0.05] [--sleeping-rows 2048] [--sleep 0.05]
        [--pairs 1:2 2:16] [--builds 500] [--kind processes] [--prior zinc-gru]

For each pair of numbers of workers, the first is compared with the second, with two scorers:

    busy       a Python function that computes for --busy seconds of CPU time a molecule: workers share chunks
    sleeping   a function that waits for --sleep seconds a molecule and has cost = "high": workers share molecules, each
               is claimed before it is scored, and each score is stored within a second

The processes are started, and have imported all that they need, before the timing begins, since all builds of a run use
the same processes. The process of the run also draws the molecules and commits the build; for the sleeping scorer, the
time of scoring alone is printed as well. So is the load average of the machine, since each busy worker needs a core.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from molbuffer.flows.campaign import Campaign, campaign_run
from molbuffer.flows.settings import load_settings
from molbuffer.flows.tasks import build_requests, made_here, make_chunks, opened_workers
from molbuffer.flows.tasks.build_request import BuildRequest, ScoreRequest
from molbuffer.flows.tasks.workers import Part, TaskWorkers
from molbuffer.lab import limit_threads
from molbuffer.storage import RunKind, SampleStore

SCORER = """
import time

def busy(smiles, seconds=0.0):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
    return 0.5

def sleeping(smiles, seconds=0.0):
    time.sleep(seconds)
    return 0.5
"""
CAMPAIGN = """
[policy]
prior = "{prior}"

[objective]
[[objective.components]]
kind = "python"
function = "scorer_of_bench:{function}"
parameters = {{ seconds = {seconds} }}
in_process = true
cost = "{cost}"

[buffer]
chunk_rows = {chunk_rows}

[[samplers]]
kind = "model"
name = "agent"
unique = false
buffer_size = {rows}

[runner]
kind = "{kind}"
workers = {workers}
"""


@dataclass(frozen=True)
class Case:
    """A build to time: its scorer, its number of rows, and the policy that draws them."""

    function: str
    cost: str
    rows: int
    chunk_rows: int
    seconds: float
    kind: str
    prior: str


class TimedWorkers(TaskWorkers):
    """The workers of a run, and the seconds for which they have scored molecules."""

    def __init__(self, workers: TaskWorkers) -> None:
        self._workers, self.number, self.seconds = workers, workers.number, 0.0

    def make(self, request: BuildRequest) -> Part:
        return self._workers.make(request)

    def score_part(self, request: ScoreRequest) -> Part:
        return self._workers.score_part(request)

    def score(self, campaign: Campaign, components: Sequence[str], molecules: Sequence[str]) -> None:
        started = time.perf_counter()
        super().score(campaign, components, molecules)
        self.seconds += time.perf_counter() - started


class Builds:
    """The builds of a run, one for each iteration."""

    def __init__(self, campaign: Campaign, workers: TimedWorkers | None) -> None:
        self._campaign, self._workers = replace(campaign, workers=workers), workers
        self._make = made_here(self._campaign)

    @property
    def scoring_seconds(self) -> float:
        """The seconds for which workers have scored the molecules of builds; 0 without workers."""
        return 0.0 if self._workers is None else self._workers.seconds

    def build(self, iteration: int, rows: int | None = None) -> int:
        """Make a build, with fewer rows a chunk if given, and return its number of rows."""
        campaign = self._campaign
        requests = build_requests(campaign, iteration, campaign.start.sha256)
        if rows is not None:
            requests = [replace(each, wanted=rows) for each in requests]
        return sum(each.kept for each in make_chunks(requests, self._make, campaign.failures()))


@contextmanager
def builds(folder: Path, case: Case, workers: int) -> Iterator[Builds]:
    """A run whose builds can be made one after another."""
    (folder / "scorer_of_bench.py").write_text(SCORER)
    (folder / "campaign.toml").write_text(CAMPAIGN.format(workers=workers, **vars(case)))
    settings = load_settings(folder / "campaign.toml")
    with (
        SampleStore.open_or_create(folder / "store") as store,
        opened_workers(settings.runner) as opened,
        campaign_run(settings, store, RunKind.BUILD, f"{workers:032x}") as campaign,
    ):
        # One thread is no worker: the run makes its builds itself.
        yield Builds(campaign, None if opened is None else TimedWorkers(opened))


def seconds_of(case: Case, workers: int) -> tuple[float, float]:
    """Return the seconds of a build after all workers have started, and those of scoring alone."""
    with tempfile.TemporaryDirectory() as folder, builds(Path(folder), case, workers) as made:
        # Chunks of a few rows give every worker a part.
        made.build(0, rows=max(1, 4 * workers * case.chunk_rows // case.rows))
        scored_before = made.scoring_seconds
        started = time.perf_counter()
        kept = made.build(1)
        taken = time.perf_counter() - started
    assert kept == case.rows, f"{kept} of {case.rows} rows"
    return taken, made.scoring_seconds - scored_before


def compare(case: Case, few: int, many: int) -> None:
    """Print the speed-up of more workers."""
    taken: list[tuple[float, float]] = []
    for workers in (few, many):
        taken.append(seconds_of(case, workers))
        build, scoring = taken[-1]
        of_it = f", of which {scoring:.2f} s scoring" if scoring else ""
        print(
            f"{case.function}, {case.rows} molecules of {case.seconds * 1000:.0f} ms, {workers:2d} workers: "
            f"{build:7.2f} s{of_it} (load average {os.getloadavg()[0]:.1f})",
            flush=True,
        )
    (build, scoring), (of_many, scoring_of_many) = taken
    of_it = f", the scoring {scoring / scoring_of_many:.2f} times" if scoring and scoring_of_many else ""
    print(f"{case.function}, from {few} to {many} workers: {build / of_many:.2f} times as fast{of_it}", flush=True)


def resident(pid: int) -> float:
    """Return the resident memory of a process in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def memory_over(number: int, kind: str, prior: str) -> None:
    """Print the memory of the run's process and of its workers over many small builds."""
    case = Case("sleeping", "low", 4, 2, 0.0, kind, prior)
    with tempfile.TemporaryDirectory() as folder, builds(Path(folder), case, 2) as made:
        pids: list[int] = []
        for iteration in range(number):
            made.build(iteration)
            if iteration == max(0, number // 5 - 1) or iteration == number - 1:
                pids = pids or [os.getpid(), *_children()]
                told = ", ".join(f"{resident(pid):.0f}" for pid in pids)
                print(f"after {iteration + 1} small builds: {told} MB (the run, then its workers)", flush=True)


def _children() -> list[int]:
    tasks = Path("/proc/self/task")
    return sorted(int(pid) for task in tasks.iterdir() for pid in (task / "children").read_text().split())


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=512, help="rows of a build whose scorer computes")
    parser.add_argument("--busy", type=float, default=0.05, help="CPU seconds of a molecule")
    parser.add_argument("--sleeping-rows", type=int, default=2048, help="rows of a build whose scorer waits")
    parser.add_argument("--sleep", type=float, default=0.05, help="seconds of a molecule")
    parser.add_argument("--pairs", nargs=2, default=["1:2", "2:16"], help="numbers of workers, busy and sleeping")
    parser.add_argument("--builds", type=int, default=500, help="small builds over which memory is measured")
    parser.add_argument("--kind", default="processes", choices=["processes", "threads"], help="the workers")
    parser.add_argument("--prior", default="zinc-gru", help="the policy that draws the molecules")
    given = parser.parse_args(arguments)
    limit_threads()
    (busy, sleeping) = ([int(each) for each in pair.split(":")] for pair in given.pairs)
    if given.rows:
        chunk_rows = max(1, given.rows // 8)
        compare(Case("busy", "low", given.rows, chunk_rows, given.busy, given.kind, given.prior), *busy)
    if given.sleeping_rows:
        rows = given.sleeping_rows
        compare(Case("sleeping", "high", rows, min(rows, 2048), given.sleep, given.kind, given.prior), *sleeping)
    if given.builds:
        memory_over(given.builds, given.kind, given.prior)


if __name__ == "__main__":
    main(sys.argv[1:])
