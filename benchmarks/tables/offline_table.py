"""Compare the losses of offline training on stored runs of three objectives: the table of docs/how-to/offline.md.

    python benchmarks/tables/offline_table.py FOLDER [--minutes 60] [--seeds 3] [--losses reinvent dpo]
        [--objectives profile] [--data online]
    python benchmarks/tables/offline_table.py FOLDER --table

For each objective an online run (REINVENT, live rows only) fills a store with the behaviour data. With each loss, a
policy that starts from the prior learns from all of its molecules with equal probability, with the same number of steps
and the same learning rate. Then 1,000 fresh draws of the result are compared with the last 1,000 rows of the run. The
rows of ``prior`` come from a build without training.

Each cell is a line of ``FOLDER/cells.jsonl``; a cell with a line is not computed again, so that the benchmark can be
stopped and resumed. ``--table`` only prints the present cells.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import molbuffer as mb
from molbuffer.samplers import Scorer, derive_seed
from molbuffer.scoring import Aggregation, SingleComponent, Standardisation, Valence
from molbuffer.training import LOSSES, evaluate_policy, molecule_quality

CELECOXIB = "Cc1ccc(-c2cc(C(F)(F)F)nn2-c2ccc(S(N)(=O)=O)cc2)cc1"
ARIPIPRAZOLE = "Clc1cccc(N2CCN(CCCCOc3ccc4CCC(=O)Nc4c3)CC2)c1Cl"
LAST = 1_000
"""The number of last rows of a run, and of fresh draws of a policy, that are compared."""
PRIOR, ONLINE = "prior", "online"


@dataclass(frozen=True)
class Size:
    """The size of the benchmark.

    Attributes:
        iterations: the number of iterations of an online run.
        batch_size: the number of rows of a batch, online and offline.
        steps: the number of steps of an offline training.
        draws: the number of fresh draws of a policy.
    """

    iterations: int = 60
    batch_size: int = 64
    steps: int = 150
    draws: int = LAST


@dataclass(frozen=True)
class Cell:
    """A cell of the table: a loss, and the rows that it learns from."""

    objective: str
    data: str
    loss: str
    seed: int


def objectives() -> dict[str, mb.Objective]:
    """Return the three objectives: drug-likeness and similarity, a rediscovery, and windows of properties."""
    similar = mb.WeightedComponent(mb.Similarity(CELECOXIB), weight=2.0, transform=mb.Sigmoid(low=0.1, high=0.5))
    rediscovery = mb.WeightedComponent(mb.Similarity(ARIPIPRAZOLE), transform=mb.Linear(low=0.1, high=0.5))
    windows = [
        mb.WeightedComponent(mb.Property("logp"), transform=mb.DoubleSigmoid(low=0.5, high=2.0)),
        mb.WeightedComponent(mb.Property("tpsa"), transform=mb.DoubleSigmoid(low=90.0, high=120.0)),
        mb.WeightedComponent(mb.Property("molecular_weight"), transform=mb.DoubleSigmoid(low=380.0, high=450.0)),
        mb.WeightedComponent(mb.SAScore(), transform=mb.ReverseSigmoid(low=2.0, high=4.0)),
    ]
    return {
        "celecoxib": mb.Objective([mb.WeightedComponent(mb.QED()), similar], Aggregation.GEOMETRIC_MEAN),
        "aripiprazole": mb.Objective([rediscovery]),
        "profile": mb.Objective(windows, Aggregation.ARITHMETIC_MEAN),
    }


def losses() -> dict[str, Any]:
    """Return the losses that are valid on stored rows, each with its settings for the table."""
    given = {
        "reinvent": {"sigma": 128.0},
        "off_policy_reinvent": {"sigma": 128.0},
        "importance_weighted": {"form": "token"},
    }
    order = [
        "advantage_weighted",
        "augmented_hill_climb",
        "reinvent",
        "top_share_likelihood",
        "filtered_cloning",
        "dpo",
        "off_policy_reinvent",
        "importance_weighted",
        "trajectory_balance",
        "grpo",
        "gspo",
        "ppo",
    ]
    return {name: LOSSES[name](**given.get(name, {})) for name in order}


def cells(names: Sequence[str], of: Sequence[str], seeds: int, data: Sequence[str]) -> Iterator[Cell]:
    """Yield the cells, seed by seed."""
    for seed in range(seeds):
        for loss in names if ONLINE in data else ():
            for objective in of:
                yield Cell(objective, ONLINE, loss, seed)
        for objective in of if PRIOR in data else ():
            yield Cell(objective, PRIOR, names[0], seed)


def behaviour(lab: mb.Lab, objective: mb.Objective, data: str, size: Size) -> tuple[str, dict[str, Any]]:
    """Return the run with the behaviour data, which is made if it is missing, and the metrics of its rows."""
    name = f"{data} {size.iterations} x {size.batch_size}"
    runs = lab.query(
        "SELECT run_id FROM runs WHERE name = ? AND objective_sha256 = ? ORDER BY created", [name, objective.sha256]
    )["run_id"].to_list()
    with lab.run(name, objective=objective, filters=FILTERS, seed=11, resume=runs[0] if runs else None) as run:
        if data == PRIOR:
            run.build(mb.ModelSampler("prior", lambda: run.prior), n=size.iterations * size.batch_size)
        else:
            live = mb.ModelSampler("live", run.agent, size=mb.SamplerSize(p_batch=1.0))
            learner = mb.LearnerSettings(learning_rate=3e-4)
            run.train(
                batch_size=size.batch_size,
                iterations=size.iterations,
                samplers=[live],
                loss=mb.Reinvent(sigma=40.0),
                learner=learner,
            )
        run_id = run.run_id
    kept = lab.query(
        "SELECT smiles, reward FROM sample_history WHERE run_id = ? AND kept AND reward IS NOT NULL "
        'ORDER BY iteration, event, sampler_order, chunk, "row"',
        [run_id],
    )
    last = kept.tail(LAST)
    quality = molecule_quality(last["smiles"].to_list(), last["reward"].to_numpy())
    mean_of_all = kept["reward"].mean()
    return run_id, {f"behaviour_{key}": value for key, value in asdict(quality).items()} | {
        "behaviour_all": mean_of_all
    }


FILTERS = (Valence(), SingleComponent(), mb.PropertyRange("molecular_weight", minimum=150, maximum=550))


def measure(lab: mb.Lab, cell: Cell, size: Size) -> dict[str, Any]:
    """Train and evaluate one cell."""
    objective = objectives()[cell.objective]
    run_id, worth = behaviour(lab, objective, cell.data, size)
    began = time.process_time()
    result = lab.offline(
        f"{cell.loss} {cell.seed}",
        objective=objective,
        steps=size.steps,
        batch_size=size.batch_size,
        seed=cell.seed,
        where=f"run_id = '{run_id}'",
        loss=losses()[cell.loss],
        learner=mb.LearnerSettings(learning_rate=3e-4),
    )
    found = evaluate_policy(
        lab.policy(result.policy_sha256),
        Scorer(objective, lab.store, result.run_id),
        FILTERS,
        Standardisation(),
        draws=size.draws,
        seed=derive_seed(cell.seed, "evaluation"),
    )
    quality = asdict(found.quality)
    return {
        **asdict(cell),
        **asdict(size),
        **quality,
        "validity": found.validity,
        **worth,
        "seconds": time.process_time() - began,
        "run_id": result.run_id,
    }


def stored_cells(path: Path, size: Size) -> list[dict[str, Any]]:
    """Return the cells of a file that have this size; the last line may be cut off."""
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    found = [json.loads(line) for line in lines]
    fits = [all(cell[key] == value for key, value in asdict(size).items()) for cell in found]
    return [cell for cell, fit in zip(found, fits, strict=True) if fit and cell["objective"] in objectives()]


def is_good(cell: Mapping[str, Any]) -> bool:
    """Return whether a policy has a higher mean reward than the last rows of its data, at about the same diversity."""
    if cell["internal_diversity"] is None:
        return False
    lost = cell["behaviour_internal_diversity"] - cell["internal_diversity"]
    return bool(cell["mean"] > cell["behaviour_mean"] and cell["uniqueness"] >= 0.9 and lost <= 0.1)


def table(found: Sequence[Mapping[str, Any]]) -> str:
    """Return the cells as a table in Markdown: the mean reward, uniqueness and diversity by loss and objective."""
    names = list(objectives())
    lines = [
        "| rows | loss | " + " | ".join(names) + " | beats the last rows, as diverse |",
        "| --- | --- |" + " --- |" * (len(names) + 1),
    ]
    of_data = {(cell["data"], cell["objective"]): cell for cell in found}
    for data in (ONLINE, PRIOR):
        of_names = [of_data.get((data, name)) for name in names]
        shown = [
            "" if c is None else _shown([c], "behaviour_mean", "behaviour_uniqueness", "behaviour_internal_diversity")
            for c in of_names
        ]
        lines.append(f"| {data} | *last {LAST:,} rows* | " + " | ".join(shown) + " | |")
        of_losses: dict[str, list[Mapping[str, Any]]] = {}
        for cell in found:
            if cell["data"] == data:
                of_losses.setdefault(cell["loss"], []).append(cell)
        for loss, of_loss in sorted(of_losses.items(), key=lambda each: -sum(map(is_good, each[1]))):
            by_name = [[cell for cell in of_loss if cell["objective"] == name] for name in names]
            shown = [_shown(each, "mean", "uniqueness", "internal_diversity") if each else "" for each in by_name]
            good = sum(map(is_good, of_loss))
            lines.append(f"| {data} | `{loss}` | " + " | ".join(shown) + f" | {good} of {len(of_loss)} |")
    return "\n".join(lines)


def _shown(same: Sequence[Mapping[str, Any]], *keys: str) -> str:
    means = [statistics.fmean(cell[key] or 0.0 for cell in same) for key in keys]
    spread = f" ± {statistics.stdev(cell[keys[0]] for cell in same):.3f}" if len(same) > 1 else ""
    return f"{means[0]:.3f}{spread} ({means[1]:.2f}, {means[2]:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=60.0, help="no cell is begun after that")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--losses", nargs="*", default=list(losses()))
    parser.add_argument("--objectives", nargs="*", default=list(objectives()))
    parser.add_argument("--data", nargs="*", choices=(ONLINE, PRIOR), default=[ONLINE, PRIOR])
    parser.add_argument("--iterations", type=int, default=Size.iterations)
    parser.add_argument("--batch-size", type=int, default=Size.batch_size)
    parser.add_argument("--steps", type=int, default=Size.steps)
    parser.add_argument("--draws", type=int, default=Size.draws)
    parser.add_argument("--table", action="store_true", help="print the cells that are there, and compute none")
    given = parser.parse_args()
    size = Size(given.iterations, given.batch_size, given.steps, given.draws)
    path, end = given.folder / "cells.jsonl", time.monotonic() + 60 * given.minutes
    given.folder.mkdir(parents=True, exist_ok=True)
    if not given.table:
        with mb.open(given.folder / "store") as lab:
            for cell in cells(given.losses, given.objectives, given.seeds, given.data):
                there = [{key: each[key] for key in asdict(cell)} for each in stored_cells(path, size)]
                if asdict(cell) in there or time.monotonic() >= end:
                    continue
                line = json.dumps(measure(lab, cell, size))
                with path.open("a") as file:
                    file.write(line + "\n")
    print(table(stored_cells(path, size)))


if __name__ == "__main__":
    main()
