"""Measure the time and the size of a report, by the number of rows of the store.

    python benchmarks/store/bench_report.py [--rows 100000 1000000] [--per-build 10000] [--facts]

The stores, in a temporary folder, have molecules that are chains of fragments, with two components, rewards, refused
rows and metrics; making them is not timed. ``--facts`` also times each fact of the report.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rows import OBJECTIVE, RUN_ID

from molbuffer.storage import (
    Build,
    Commit,
    Event,
    Metric,
    ObjectiveComponent,
    ObjectiveDefinition,
    Reward,
    Rows,
    Run,
    RunKind,
    Samples,
    SampleStore,
    Score,
)

FRAGMENTS = np.array(
    ["C", "CC", "N", "O", "C(=O)", "C(C)", "c1ccc(cc1)", "C1CCC(CC1)", "c1ccnc(c1)", "S", "N(C)", "C(F)", "C1CN(C1)"]
)
LINKS = 9
COMPONENTS = ("docking", "qed")
VERSION = "2" * 64
REFUSED = (None, None, None, None, "molecular_weight", "alerts", "duplicate", "validity")


def make_run() -> Run:
    transforms = {
        "docking": {"kind": "reverse_sigmoid", "low": -12.0, "high": -6.0, "steepness": 0.5},
        "qed": {"kind": "identity"},
    }
    parts = [ObjectiveComponent(name, VERSION, 1.0, json.dumps(transforms[name])) for name in COMPONENTS]
    return Run(
        RUN_ID,
        "bench",
        RunKind.TRAIN,
        json.dumps({"campaign": {"name": "bench"}}),
        7,
        OBJECTIVE,
        definition=ObjectiveDefinition("geometric_mean", parts),
    )


def make_build(iteration: int, rows: int) -> Build:
    """Return a build of molecules whose rewards grow with the iterations."""
    rng = np.random.default_rng([7, iteration])
    pieces = rng.choice(FRAGMENTS, (rows, LINKS))
    texts = ["".join(row) + "C" for row in pieces.tolist()]
    refused = [REFUSED[i] for i in rng.integers(0, len(REFUSED), rows)]
    docking = rng.normal(-7 - 2 * min(1.0, iteration / 50), 1.5, rows)
    qed = rng.beta(4, 3, rows)
    kept = [row for row in range(rows) if refused[row] is None]
    rewards = np.sqrt(qed / (1 + 10 ** (5 * (docking + 9) / 6)))
    values = {"docking": docking, "qed": qed}
    return Build(
        run_id=RUN_ID,
        iteration=iteration,
        event=Event.SAMPLE_BATCH,
        sampler="live",
        sampler_kind="model",
        samples=Samples(
            raw=texts,
            smiles=[None if refused[row] == "validity" else texts[row] for row in range(rows)],
            rejected_by=refused,
            rows=Rows.blank(rows, "1" * 64),
        ),
        objective_sha256=OBJECTIVE,
        rewards=[Reward(row, OBJECTIVE, float(rewards[row])) for row in kept],
        scores=[
            Score(texts[row], name, VERSION, float(values[name][row]), seconds=0.1)
            for name in COMPONENTS
            for row in kept
        ],
        metrics=[
            Metric("valid", len(kept) / rows),
            Metric("diversity", 0.99),
            Metric("rewards", float(rewards.mean())),
        ],
    )


def make_store(path: Path, rows: int, per_build: int) -> None:
    with SampleStore.create(path) as store:
        store.start_run(make_run())
        for iteration in range(-(-rows // per_build)):
            metrics = [(iteration, Metric("reward_live", iteration / 100)), (iteration, Metric("loss", 1.0))]
            build = make_build(iteration, min(per_build, rows))
            store.commit(Commit([build], run_id=RUN_ID, run_metrics=metrics))


def seconds_of_facts(path: Path) -> dict[str, float]:
    """Return the seconds of each fact of the report."""
    from molbuffer import pages

    found: dict[str, float] = {}
    with SampleStore.open(path, read_only=True) as store:
        scope = pages.scope_of(store)
        for name, fact in {
            "runs": lambda: pages.list_run_facts(scope),
            "objectives": lambda: pages.list_objectives(scope),
            "learning curve": lambda: pages.learning_curve(scope, ["reward_live", "loss"]),
            "rewards over iterations": lambda: pages.drawn_rewards(scope, OBJECTIVE),
            "rewards over calls": lambda: pages.rewards_by_calls(scope, OBJECTIVE),
            "funnel": lambda: pages.funnel_over_time(scope),
            "samplers": lambda: pages.sampler_totals(scope),
            "best molecules": lambda: pages.best_molecules(scope, OBJECTIVE, 30),
        }.items():
            started = time.perf_counter()
            fact()
            found[name] = time.perf_counter() - started
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000], help="of each store")
    parser.add_argument("--per-build", type=int, default=10_000, help="rows of each build")
    parser.add_argument("--facts", action="store_true", help="time each fact, too")
    parser.add_argument("--folder", type=Path, help="where the stores are made, and kept; default: a temporary folder")
    options = parser.parse_args(arguments)
    root = options.folder or Path(tempfile.mkdtemp(prefix="bench-report-"))
    try:
        print(f"1-minute load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        for rows in options.rows:
            path, out = root / f"store-{rows}", root / f"report-{rows}.html"
            if not path.exists():
                make_store(path, rows, options.per_build)
            if options.facts:
                for name, seconds in seconds_of_facts(path).items():
                    print(f"{rows:>10,} rows  {name:<24} {seconds:8.2f} s")
            words = [Path(sys.executable).with_name("molbuffer"), "report", "--store", path, "--out", out]
            started = time.perf_counter()
            subprocess.run([str(word) for word in words], check=True, stdout=subprocess.DEVNULL)
            seconds = time.perf_counter() - started
            most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
            print(
                f"{rows:>10,} rows  report in {seconds:.1f} s, {out.stat().st_size / 1e6:.2f} MB, "
                f"at most {most:,.0f} MiB of memory"
            )
    finally:
        if options.folder is None:
            shutil.rmtree(root)


if __name__ == "__main__":
    main()
