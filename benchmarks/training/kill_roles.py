"""Kill and restart a learner, an actor and a scorer in every order, and count lost or repeated work.

    python benchmarks/training/kill_roles.py [--orders 6] [--folder FOLDER]

The three are real processes, as on three hosts: ``molbuffer run`` with training.mode = "async" draws nothing,
``molbuffer act`` draws, and leaves the scores to ``molbuffer score-pending --watch``. For each order of the three, when
the learner has advanced by some iterations, all are killed by SIGKILL in that order, and started again in the same
order. At the end the benchmark counts what was lost (scores that the scorer has returned, iterations), done twice, or
is of unknown origin.
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from molbuffer.storage import SampleStore, StoreError

ROLES = ("learner", "actor", "scorer")
ITERATIONS_BETWEEN = 5
"""The number of iterations of the learner between two rounds of kills."""
BATCH, BUILD, SCORED_AT_ONCE = 16, 24, 8
PATIENCE_SECONDS = 600
MOLBUFFER = Path(sys.executable).with_name("molbuffer")

CONFIG = """
[campaign]
name = "killed-roles"
seed = 5
iterations = {iterations}
batch_size = {batch}

[policy]
prior = "zinc-gru"

[objective]
mode = "backlog"
[[objective.components]]
kind = "python"
name = "dear"
function = "dear:carbons"
cost = "high"
transform = {{ kind = "linear", low = 0, high = 40 }}

[buffer]
selection = "consume_once"
pending_timeout = 600.0

[[samplers]]
kind = "model"
name = "drawn"
buffer_size = {build}

[training]
mode = "async"
checkpoint_every = 2

[actors]
min_rows = {least}
"""

SCORER = '''
import os, time

def carbons(smiles):
    """Count carbon atoms, and tell a file of each molecule that is paid for."""
    time.sleep(0.02)
    with open(os.environ["PAID_FOR"], "a") as paid_for:
        paid_for.write(smiles + "\\n")
    return float(smiles.upper().count("C"))
'''


class Roles:
    """The processes of the three roles, in a folder of their own."""

    def __init__(self, folder: Path, iterations: int) -> None:
        self.folder, self.store = folder, folder / "lab"
        self.paid_for = folder / "paid-for.txt"
        (folder / "campaign.toml").write_text(
            CONFIG.format(iterations=iterations, batch=BATCH, build=BUILD, least=2 * BUILD), encoding="utf-8"
        )
        (folder / "dear.py").write_text(SCORER, encoding="utf-8")
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.learner_id: str | None = None

    def start(self, role: str) -> None:
        """Start the process of a role; a learner that the store knows is resumed."""
        words = {
            "learner": ["run", "campaign.toml", "--store", "lab", "--no-prefect"],
            "actor": ["act", "--store", "lab"],
            "scorer": ["score-pending", "--store", "lab", "--watch", "--batch", str(SCORED_AT_ONCE)],
        }[role]
        if self.learner_id is not None:
            words += {"learner": ["--resume", self.learner_id], "actor": ["--run", self.learner_id]}.get(role, [])
        environment = os.environ | {"PAID_FOR": str(self.paid_for), "PYTHONPATH": str(self.folder)}
        with (self.folder / f"{role}.log").open("ab") as log:
            self.processes[role] = subprocess.Popen(
                [MOLBUFFER, *words], cwd=self.folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )

    def kill(self, role: str) -> None:
        """Kill the process of a role, and all processes that it has started."""
        process = self.processes.pop(role)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def wait_for(self, what: str, reached: Callable[[], bool]) -> None:
        """Wait until something is reached.

        Raises:
            TimeoutError: it is not within ten minutes, or one of the three has ended.
        """
        end = time.monotonic() + PATIENCE_SECONDS
        while not reached():
            gone = [role for role, process in self.processes.items() if process.poll() is not None]
            if gone or time.monotonic() > end:
                last = {role: (self.folder / f"{role}.log").read_text()[-600:] for role in gone or self.processes}
                raise TimeoutError(f"{what} is not there; ended: {gone}; last words: {last}")
            time.sleep(0.5)

    def stored(self, sql: str) -> Any:
        """Return the single value of a query; None if the store does not exist yet."""
        try:
            with SampleStore.open(self.store, read_only=True) as store:
                return store.query(sql).item()
        except StoreError:
            return None

    def knows_learner(self) -> bool:
        """Return whether the store has the run of the learner."""
        self.learner_id = self.stored("SELECT max(run_id) FROM runs WHERE kind = 'train'")
        return self.learner_id is not None

    def learned(self, iterations: int) -> bool:
        """Return whether the learner has stored at least this number of iterations."""
        done = self.stored("SELECT count(DISTINCT iteration) FROM metrics WHERE name = 'loss'")
        return done is not None and int(done) >= iterations

    def end(self) -> None:
        """Kill all running processes."""
        for role in list(self.processes):
            self.kill(role)


def left_behind(roles: Roles) -> dict[str, int]:
    """Count the scores, iterations and rows that were lost, done twice, or are of unknown origin."""
    paid = Counter(roles.paid_for.read_text(encoding="utf-8").split())
    with SampleStore.open(roles.store, read_only=True) as store:
        scored = store.query("SELECT smiles, count(*) AS n FROM scores WHERE status = 'ok' GROUP BY smiles")
        iterations = store.query("SELECT iteration, count(*) AS n FROM metrics WHERE name = 'loss' GROUP BY iteration")
        unknown = store.query("SELECT count(*) AS n FROM sample_history WHERE run_id IS NULL OR sampler IS NULL")
        used_twice = store.query(
            """SELECT count(*) AS n FROM (SELECT build_id, "row" FROM consumed GROUP BY ALL HAVING count(*) > 1)"""
        )
    return {
        "molecules paid for": len(paid),
        "paid for again": paid.total() - len(paid),
        "scores stored": len(scored),
        "scores stored twice": int((scored["n"] - 1).sum()),
        "iterations": len(iterations),
        "iterations missing": int(iterations["iteration"].max() + 1 - len(iterations)),
        "iterations stored twice": int((iterations["n"] - 1).sum()),
        "rows used twice": int(used_twice.item()),
        "rows of unknown origin": int(unknown.item()),
    }


def kill_in_orders(folder: Path, orders: int) -> dict[str, int]:
    """Run the campaign through a number of rounds of kills to its end, and return the counts."""
    chosen = list(itertools.permutations(ROLES))[:orders]
    roles = Roles(folder, ITERATIONS_BETWEEN * (len(chosen) + 1))
    try:
        roles.start("learner")
        roles.wait_for("the learner", roles.knows_learner)
        roles.start("actor")
        roles.start("scorer")
        for number, order in enumerate(chosen):
            wanted = ITERATIONS_BETWEEN * (number + 1)
            roles.wait_for(f"iteration {wanted}", partial(roles.learned, wanted))
            for role in order:
                roles.kill(role)
            for role in order:
                roles.start(role)
            print(f" killed and started again: {', '.join(order)}", flush=True)
        learner = roles.processes.pop("learner")
        if learner.wait(PATIENCE_SECONDS):
            raise RuntimeError((folder / "learner.log").read_text()[-2000:])
        roles.processes.pop("actor").wait(PATIENCE_SECONDS)
        # Molecules that a killed scorer had claimed are scored once its claims have expired.
        subprocess.run(
            [MOLBUFFER, "score-pending", "--store", "lab"], cwd=folder, check=True, stdout=subprocess.DEVNULL,
            env=os.environ | {"PAID_FOR": str(roles.paid_for), "PYTHONPATH": str(folder)},
        )  # fmt: skip
    finally:
        roles.end()
    return left_behind(roles)


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill, count and print; the exit code is 1 where something was lost, done twice or is of unknown origin."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=6, help="how many of the six orders")
    parser.add_argument("--folder", type=Path, help="where the store is made, and kept; default: a temporary folder")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        found = kill_in_orders(options.folder or Path(temporary), options.orders)
    for name, count in found.items():
        print(f" {name:30} {count:6}")
    in_flight = SCORED_AT_ONCE * options.orders
    lost = found["molecules paid for"] - found["scores stored"]
    wrong = [lost, found["scores stored twice"], found["rows used twice"]]
    wrong += [found["iterations missing"], found["iterations stored twice"]]
    return int(any(wrong) or found["rows of unknown origin"] > 0 or found["paid for again"] > in_flight)


if __name__ == "__main__":
    raise SystemExit(main())
