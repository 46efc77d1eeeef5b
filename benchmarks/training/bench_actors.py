"""Time to a mean reward with a slow scorer: one process that does all, compared with actors and a learner.

    python benchmarks/training/bench_actors.py [--actors 2] [--seconds 0.05] [--target 0.4] [--iterations 60]

The scorer waits for each molecule, and rewards fluorine, of which the bundled prior draws little. Both trainings use
each molecule once. The time is measured from the start of the run to the commit with which the mean reward of the last
batch of stored molecules reaches the target; the time with actors includes their start. The policy lag is that of the
rows of a batch, in iterations.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import molbuffer as mb

SCORER = """
import time

from rdkit import Chem

FLUORINE = 9


def score(smiles, seconds):
    time.sleep(seconds)
    found = sum(atom.GetAtomicNum() == FLUORINE for atom in Chem.MolFromSmiles(smiles).GetAtoms())
    return min(1.0, found / 3)
"""
CONFIG = """
[campaign]
name = "{mode}"
seed = 1
iterations = {iterations}
batch_size = {batch}

[policy]
prior = "{prior}"

[objective]
[[objective.components]]
kind = "python"
function = "slow_fluorine:score"
parameters = {{ seconds = {seconds} }}

[buffer]
build_every = 1
runs = "own"

[[samplers]]
kind = "model"
name = "drawn"
buffer_size = {build}

[training]
mode = "{mode}"
learning_rate = 1e-3
checkpoint_every = 1

[actors]
local = {actors}
"""
BUILDS = """SELECT epoch(b.created) - epoch(r.created) AS seconds, kept, mean_reward FROM builds AS b, runs AS r
    WHERE r.kind = 'train' ORDER BY b.created"""
LAGS = "SELECT value FROM metrics WHERE name = 'policy_lag' AND value IS NOT NULL ORDER BY iteration"


@dataclass(frozen=True)
class Course:
    """The course of a training.

    Attributes:
        reached: the seconds to the target; None if it was not reached.
        seconds: the seconds to the last commit of rows.
        rows: the number of kept rows.
        best: the highest mean reward of as many rows as a batch has.
        lags: the mean policy lag of each quarter of the iterations.
    """

    reached: float | None
    seconds: float
    rows: int
    best: float
    lags: list[float]


def trained(folder: Path, mode: str, given: argparse.Namespace) -> Course:
    """Train in a process, and return the course of the training from its store."""
    folder.mkdir()
    (folder / "slow_fluorine.py").write_text(SCORER)
    values = {"mode": mode, "actors": given.actors if mode == "async" else 0, "prior": given.prior}
    values |= {name: getattr(given, name) for name in ("iterations", "batch", "seconds")}
    # Actors share the rows that the single process builds at once.
    build = given.batch if mode == "sync" else max(1, given.batch // given.actors)
    (folder / "campaign.toml").write_text(CONFIG.format(**values, build=build))
    program = str(Path(sys.executable).parent / "molbuffer")
    words = [program, "run", str(folder / "campaign.toml"), "--store", str(folder / "lab"), "--no-prefect", "--json"]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with mb.open(folder / "lab", read_only=True) as lab:
        builds, lags = lab.query(BUILDS), lab.query(LAGS)["value"].to_numpy()
    return course_of(builds.rows(), lags, given)


def course_of(builds: list[tuple[float, int, float]], lags: np.ndarray, given: argparse.Namespace) -> Course:
    """Return the course of a training from its builds (seconds, kept rows, mean reward) in the order of commits."""
    reached, best = None, 0.0
    for last in range(len(builds)):
        rows, total = 0, 0.0
        for _, kept, mean in reversed(builds[: last + 1]):
            rows, total = rows + kept, total + kept * (mean or 0.0)
            if rows >= given.batch:
                break
        if rows >= given.batch:
            best = max(best, total / rows)
            if reached is None and total / rows >= given.target:
                reached = builds[last][0]
    quarters = [float(part.mean()) for part in np.array_split(lags, 4) if len(part)]
    return Course(reached, builds[-1][0], sum(kept for _, kept, _ in builds), best, quarters)


def main() -> None:
    """Train with both methods, and print the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--actors", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=0.05, help="the wait of the scorer for each molecule")
    parser.add_argument("--target", type=float, default=0.4)
    parser.add_argument("--iterations", type=int, default=60)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--prior", default="zinc-gru")
    given = parser.parse_args()
    names = {"sync": "one process", "async": f"{given.actors} actors + learner"}
    print(f"{given.seconds * 1000:.0f} ms a molecule, batches of {given.batch}; load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        for mode, name in names.items():
            course = trained(Path(folder) / mode, mode, given)
            to = "not reached" if course.reached is None else f"{course.reached:.0f} s"
            lags = ", ".join(f"{lag:.1f}" for lag in course.lags)
            print(
                f"{name:20} mean reward {given.target:g}: {to} (best {course.best:.2f}); {course.rows} rows in "
                f"{course.seconds:.0f} s, {course.rows / course.seconds:.1f} a second; policy lag by quarter: {lags}; "
                f"load {os.getloadavg()[0]:.1f}"
            )


if __name__ == "__main__":
    main()
