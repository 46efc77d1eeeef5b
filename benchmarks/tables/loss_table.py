"""Compare the losses on the demonstration's objective, over several seeds, with equal policies, batches and iterations.

    python benchmarks/tables/loss_table.py [--iterations 150] [--seeds 3] [--losses reinvent,ppo]
        [--out loss-table.jsonl]

The policy in training draws every batch live, so that all losses are valid on it. Each loss has its default settings.
Each run is a line of the file, and runs with a line are not repeated, so that the table can be made in parts. For a
failed run, whose loss diverged or whose policy no longer draws molecules, the line has the reason.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

import molbuffer as mb
from molbuffer.flows.campaign import build_filters, build_objective, build_standardisation
from molbuffer.flows.tools import demo_settings
from molbuffer.lab import RunError
from molbuffer.scoring import diversity_of
from molbuffer.training import LOSSES, LearnerSettings
from molbuffer.training.errors import TrainingError

BATCH_SIZE = 64
COMPARED_ITERATIONS = 10
"""The number of last iterations whose live rows are compared."""
TOP = 100

_METRIC = "SELECT avg(value) FROM metrics WHERE run_id = ? AND name = ? AND iteration >= ?"
_LIVE = "SELECT smiles, reward FROM sample_history WHERE run_id = ? AND iteration >= ? AND kept"
_TOP = """SELECT avg(reward) FROM (
    SELECT max(reward) AS reward FROM sample_history WHERE run_id = ? AND kept AND reward IS NOT NULL
    GROUP BY smiles ORDER BY reward DESC LIMIT ?)"""
_CALLS = "SELECT count(DISTINCT smiles) FROM sample_history WHERE run_id = ? AND kept"


def run_loss(loss: str, seed: int, iterations: int) -> dict[str, Any]:
    """Train with a loss in a store of its own, and return the results."""
    settings = demo_settings()
    with tempfile.TemporaryDirectory(prefix="loss-table-") as folder, mb.open(Path(folder) / "lab") as lab:
        started = time.perf_counter()
        with lab.run(
            f"{loss} {seed}",
            objective=build_objective(settings),
            policy=settings.policy.prior,
            seed=seed,
            filters=build_filters(settings),
            standardisation=build_standardisation(settings),
        ) as run:
            live = mb.ModelSampler("live", run.agent, size=mb.SamplerSize(p_batch=1.0))
            run.train(
                batch_size=BATCH_SIZE,
                iterations=iterations,
                samplers=[live],
                loss=loss,
                learner=LearnerSettings(learning_rate=settings.training.learning_rate),
            )
        seconds = time.perf_counter() - started
        return {"seconds": seconds, **figures(lab, run.run_id, iterations)}


def figures(lab: mb.Lab, run_id: str, iterations: int) -> dict[str, float | None]:
    """Return the metrics of the rows of the last iterations, and of the best molecules of the run."""
    since = max(0, iterations - COMPARED_ITERATIONS)
    live = lab.query(_LIVE, [run_id, since])
    distinct = live["smiles"].unique().sort().to_list()
    return {
        "reward": lab.query(_METRIC, [run_id, "reward_live", since]).item(),
        "top_100": lab.query(_TOP, [run_id, TOP]).item(),
        "calls": float(lab.query(_CALLS, [run_id]).item()),
        "uniqueness": len(distinct) / len(live),
        "diversity": diversity_of(distinct).internal,
        "kl_prior": lab.query(_METRIC, [run_id, "kl_prior", since]).item(),
    }


def done(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def table(lines: Sequence[dict[str, Any]]) -> str:
    """Return the means over seeds, with the standard deviation of the reward, the best loss first."""
    by_loss: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        by_loss.setdefault(line["loss"], []).append(line)
    shown = []
    for loss, runs in by_loss.items():
        good = [each for each in runs if "reward" in each]
        if not good:
            shown.append((-1.0, f"| `{loss}` | {runs[0]['error']} |"))
            continue
        numbers = [name for name, value in good[0].items() if isinstance(value, float)]
        mean = {name: _mean([each[name] for each in good]) for name in numbers}
        spread = statistics.stdev([each["reward"] for each in good]) if len(good) > 1 else 0.0
        columns = [f"`{loss}`", f"{mean['reward']:.3f} ± {spread:.3f}", f"{mean['top_100']:.3f}"]
        columns += [f"{mean['uniqueness']:.2f}", f"{mean['diversity']:.2f}", f"{mean['kl_prior']:.0f}"]
        columns += [f"{mean['calls']:.0f}", f"{len(good)} of {len(runs)}"]
        shown.append((mean["reward"], f"| {' | '.join(columns)} |"))
    head = (
        "| loss | reward of the last 10 | top 100 | uniqueness | internal diversity | KL to the prior | calls | runs |"
    )
    return "\n".join([head, "| --- " * 8 + "|", *(row for _, row in sorted(shown, reverse=True))])


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else float("nan")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--iterations", type=int, default=150)
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--losses", default=",".join(LOSSES.kinds), help="kinds, with commas between them")
    arguments.add_argument("--out", type=Path, default=Path("loss-table.jsonl"), help="the file of the runs")
    chosen = arguments.parse_args()
    torch.set_num_threads(1)
    for seed in range(chosen.seeds):
        for loss in chosen.losses.split(","):
            of = {"loss": loss, "seed": seed, "iterations": chosen.iterations}
            if any(of.items() <= line.items() for line in done(chosen.out)):
                continue
            try:
                result = run_loss(loss, seed, chosen.iterations)
            except (TrainingError, RunError) as error:
                result = {"error": f"{type(error).__name__}: {error}"}
            with chosen.out.open("a") as file:
                file.write(json.dumps(of | result) + "\n")
            print(json.dumps(of | result), file=sys.stderr, flush=True)
    print(table([line for line in done(chosen.out) if line["iterations"] == chosen.iterations]))


if __name__ == "__main__":
    main()
