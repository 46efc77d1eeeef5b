"""Kill processes that use a store at random moments, and check that all acknowledged data are stored.

    python benchmarks/store/crash_store.py [--kills 200] [--writers 3] [--readers 2] [--pace 2] [--seed 0]
        [--catalog ADDRESS] [--servers [--crashes 10]]

Writers commit builds (each its own, and some that all of them race for) and record expensive scores; readers check
that every build they see is whole; a maintainer compacts, expires and vacuums. Every few moments one of them is killed
with SIGKILL and started again, each time after a writer has received a further acknowledgement, so that the amount of
data at risk does not depend on the speed of the machine. At the end, the acknowledged data are compared with the store:
nothing may be lost, torn, or stored twice. A kill does not lose writes that a power cut would lose; the tests of the
order of fsync cover these.

``--catalog postgres://…`` puts the catalog into that database, where file locks do not help: the server releases the
locks of a killed process once it notices the loss. ``--servers`` starts a Postgres and an S3 server as the tests do
(``tests/services.py``), for the catalog and all files. Then Postgres crashes as well: it is shut down immediately
``--crashes`` times while all processes work, and started again. No process is killed at a crash: a process that gets
the error that the catalog is unavailable tries again, and all data acknowledged before and after must be stored once.
"""

from __future__ import annotations

import argparse
import collections
import importlib.util
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from bench_writers import address
from crash_worker import COMPONENT, RUN_ID, VERSION, check_build, crash_run

from molbuffer.storage import SampleStore

WORKER = Path(__file__).with_name("crash_worker.py")
SERVICES = Path(__file__).resolve().parents[2] / "tests" / "services.py"
POLL_SECONDS = 0.01
CRASH_SECONDS = 0.5
"""The seconds until a crashed server is started again, long enough that all working processes get an error."""


@dataclass
class Worker:
    """A process that is killed and started again, with all lines that it printed."""

    role: str
    store: Path
    number: int
    grace: float
    patient: bool = False
    said: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    process: subprocess.Popen[str] = field(init=False)
    listener: threading.Thread = field(init=False)
    said_before: int = field(default=0, init=False)

    def start(self) -> None:
        self.said_before = self.acknowledged
        command = [sys.executable, str(WORKER), self.role, str(self.store), str(self.number), str(self.grace)]
        command += ["patient"] if self.patient else []
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.listener = threading.Thread(target=self._listen, args=(self.process,), daemon=True)
        self.listener.start()

    def kill(self) -> None:
        """Kill the process; if it had ended by itself, record its errors."""
        died = self.process.poll() is not None
        self.process.kill()
        self.listener.join()
        errors = self.process.communicate()[1]
        if died:
            self.errors.append(f"{self.role} {self.number} ended by itself:\n{errors}")

    @property
    def acknowledged(self) -> int:
        """The number of acknowledgements that it printed."""
        return len(self.said) - self.failures

    @property
    def failures(self) -> int:
        """The number of failures that it printed, each of which it tried again."""
        return sum(line.startswith("failed ") for line in self.said)

    def has_said_something(self) -> bool:
        """Whether it has printed an acknowledgement since its last start, or has ended by itself."""
        return self.acknowledged > self.said_before or self.process.poll() is not None

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            # A line that a kill cut off was never acknowledged.
            if line.endswith("\n"):
                self.said.append(line.strip())


@dataclass(frozen=True)
class Verdict:
    """The counts of acknowledged data and of defects; all counts except the first two must be 0."""

    builds: int
    scores: int
    lost_builds: int
    lost_scores: int
    torn: int
    doubled: int
    errors: int

    @property
    def kept(self) -> bool:
        """Whether the store has all acknowledged data and no defect."""
        return not (self.lost_builds or self.lost_scores or self.torn or self.doubled or self.errors)


@dataclass(frozen=True)
class Crashes:
    """The crashes of a server while processes work.

    Attributes:
        number: the number of crashes.
        crash: ends the server at once.
        start: starts the server again, and returns when it answers.
    """

    number: int
    crash: Callable[[], None]
    start: Callable[[], None]

    def happen(self) -> None:
        self.crash()
        time.sleep(CRASH_SECONDS)
        self.start()


def run_workers(
    store: Path,
    kills: int,
    writers: int,
    readers: int,
    *,
    pace: float,
    grace: float,
    seed: int,
    crashes: Crashes | None = None,
) -> list[Worker]:
    """Start all processes, kill and restart them a number of times, and end them.

    Args:
        pace: the most seconds from an acknowledgement to the kill that follows it.
        grace: the least age in seconds of files that maintenance removes, so that commits and reads can finish.
        crashes: the crashes of the server, at random moments among the kills.
    """
    rng, patient = random.Random(seed), crashes is not None
    writing = [Worker("writer", store, number, grace, patient) for number in range(writers)]
    others = [Worker("reader", store, number, grace, patient) for number in range(readers)]
    others.append(Worker("maintainer", store, 0, grace, patient))
    workers = writing + others
    for worker in workers:
        worker.start()
    events = [None] * kills + [crashes] * (0 if crashes is None else crashes.number)
    rng.shuffle(events)
    for event in events:
        wait_for_acknowledgement(writing)
        time.sleep(rng.uniform(0, pace))
        if event is not None:
            event.happen()
            continue
        # Sometimes all processes are killed at once, as by a power cut.
        for worker in workers if rng.random() < 0.1 else [rng.choice(workers)]:
            worker.kill()
            worker.start()
    # After the last kill, the store is read, written to and maintained once more.
    while not all(worker.has_said_something() for worker in workers):
        time.sleep(POLL_SECONDS)
    for worker in workers:
        worker.kill()
    return workers


def wait_for_acknowledgement(writers: Sequence[Worker]) -> None:
    """Wait until a writer has received a further acknowledgement, or all writers have ended by themselves."""
    before = sum(writer.acknowledged for writer in writers)
    while sum(writer.acknowledged for writer in writers) == before:
        if all(writer.process.poll() is not None for writer in writers):
            return
        time.sleep(POLL_SECONDS)


def judge(path: Path, workers: list[Worker]) -> Verdict:
    """Compare the acknowledged data with the data in the store."""
    said = [line.split(" ") for worker in workers for line in worker.said]
    builds, scores = ({word[1] for word in said if word[0] == kind} for kind in ("build", "score"))
    torn = 0
    with SampleStore.open(path) as store:
        receipts = store.receipts(RUN_ID)
        for receipt in receipts:
            try:
                check_build(store, receipt.build_id, receipt.sampler, receipt.iteration)
            except AssertionError as error:
                print(error, file=sys.stderr)
                torn += 1
        stored = collections.Counter(receipt.build_id for receipt in receipts)
        found = store.find_scores(COMPONENT, VERSION, sorted(scores))
        rows = store.query('SELECT build_id, "row" FROM sample_history GROUP BY ALL HAVING count(*) > 1')
        for damage in store.verify().errors:
            print(damage.message, file=sys.stderr)
            torn += 1
    errors = [error for worker in workers for error in worker.errors]
    for error in errors:
        print(error, file=sys.stderr)
    doubled = sum(number - 1 for number in stored.values()) + len(rows)
    return Verdict(
        len(builds), len(scores), len(builds - stored.keys()), len(scores - found.keys()), torn, doubled, len(errors)
    )


def _sum(workers: list[Worker], what: str) -> int:
    """Return the sum of the numbers that workers printed after a word."""
    words = (line.split(" ") for worker in workers for line in worker.said)
    return sum(int(word[1]) for word in words if word[0] == what)


@contextmanager
def places(
    catalog: str | None, folder: str, servers: bool, crashes: int
) -> Iterator[tuple[dict[str, str], Crashes | None]]:
    """Yield the arguments with which the store is made, and the crashes of a server that is started for it."""
    if not servers:
        yield address(catalog, folder), None
        return
    services = load_services()
    with services.postgres_that_crashes() as server, services.s3(Path(folder) / "s3") as objects:
        os.environ.update(services.S3_ENVIRONMENT | {"AWS_ENDPOINT_URL": objects})
        place = address(f"{server.address}/postgres", folder) | {"data_path": "s3://lab/crash"}
        yield place, Crashes(crashes, server.crash, server.start)


def load_services() -> ModuleType:
    """Import the module with the servers that tests start."""
    found = importlib.util.spec_from_file_location("services", SERVICES)
    assert found is not None
    assert found.loader is not None
    services = importlib.util.module_from_spec(found)
    found.loader.exec_module(services)
    return services


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--kills", type=int, default=200, help="how many times a process, or all of them, is killed")
    arguments.add_argument("--writers", type=int, default=3)
    arguments.add_argument("--readers", type=int, default=2)
    arguments.add_argument("--pace", type=float, default=2.0, help="the most seconds from an acknowledgement to a kill")
    arguments.add_argument(
        "--grace", type=float, default=45.0, help="seconds that are longer than any commit or read takes here"
    )
    arguments.add_argument("--seed", type=int, default=0, help="of who is killed when")
    arguments.add_argument("--folder", type=Path, help="where the store is made; default: a temporary folder")
    arguments.add_argument("--catalog", help="a Postgres database, in which a schema of its own is made for the store")
    arguments.add_argument(
        "--servers", action="store_true", help="the store is in a Postgres and an S3 server of its own"
    )
    arguments.add_argument("--crashes", type=int, default=0, help="with --servers: how many times Postgres crashes")
    chosen = arguments.parse_args()
    if (chosen.servers and chosen.catalog) or (chosen.crashes and not chosen.servers):
        arguments.error("--servers starts a server of its own, without --catalog, and only that can crash")
    with (
        tempfile.TemporaryDirectory(dir=chosen.folder) as folder,
        places(chosen.catalog, folder, chosen.servers, chosen.crashes) as (place, crashes),
    ):
        path = Path(folder) / "store"
        with SampleStore.create(path, **place) as store:
            store.start_run(crash_run())
        started = time.perf_counter()
        numbers = chosen.kills, chosen.writers, chosen.readers
        workers = run_workers(path, *numbers, pace=chosen.pace, grace=chosen.grace, seed=chosen.seed, crashes=crashes)
        seconds = time.perf_counter() - started
        verdict = judge(path, workers)
    counts = collections.Counter(line.split(" ")[0] for worker in workers for line in worker.said)
    kept_in = "Postgres" if "catalog" in place else "SQLite"
    kept_in += ", the files in S3" if chosen.servers else ""
    print(f"{chosen.kills} kills in {seconds:.0f} s, the catalog in {kept_in}; ", end="")
    if crashes is not None:
        print(f"{crashes.number} crashes of Postgres, {counts['failed']} attempts failed and were made again; ", end="")
    print(f"{counts['read']} reads, {counts['compacted']} compactions; ", end="")
    print(f"{_sum(workers, 'expired')} versions expired, {_sum(workers, 'removed')} files removed")
    print(f"acknowledged: {verdict.builds} builds, {verdict.scores} scores")
    print(f"1-minute load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"lost: {verdict.lost_builds} builds, {verdict.lost_scores} scores; torn: {verdict.torn}; ", end="")
    print(f"there twice: {verdict.doubled}; processes that failed: {verdict.errors}")
    sys.exit(0 if verdict.kept else 1)


if __name__ == "__main__":
    main()
