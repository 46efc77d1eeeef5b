"""The defaults of `molbuffer config example`: learning rates, sigmas and shares of the buffer, on three objectives.

    python benchmarks/tables/default_table.py FOLDER [--calls 3000] [--settings "best 3e-4 128"] [--seeds 1]
        [--minutes 60]
    python benchmarks/tables/default_table.py FOLDER --grid     # sigma 64, 128, 256 by 0.25, 0.5, 0.75 of it stored
    python benchmarks/tables/default_table.py FOLDER --table

Each campaign is the example with an objective of ``offline_table`` and some keys set. None of these objectives belongs
to a benchmark, so that the defaults are not tuned on one. A campaign is a line of ``FOLDER/cells.jsonl``; a campaign
that has a line is not run again, so that the benchmark can be stopped and resumed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from offline_table import objectives

from molbuffer.flows.campaign import campaign_run, train_stages
from molbuffer.flows.settings import Settings, load_settings, parse_overrides
from molbuffer.flows.tasks import local_builder
from molbuffer.flows.tools import rewards_of_calls
from molbuffer.kinds import OneOf
from molbuffer.pages import area_under_best, mean_of_top
from molbuffer.scoring import COMPONENTS, TRANSFORMS, Objective, diversity_of
from molbuffer.storage import RunKind, SampleStore

EXAMPLE = Path(__file__).resolve().parents[2] / "flows/settings/example.toml"
LAST_ITERATIONS = 10
HALF = ["samplers[live].p_batch=0.5", "samplers[live].buffer_size=384", 'buffer.selection="consume_once"']
LIVE = ["samplers[live].p_batch=1.0", "samplers[live].buffer_size=0"]
BEST = [
    "samplers[live].p_batch=0.75",
    "samplers[live].buffer_size=64",
    "buffer.build_every=1000",
    'buffer.selection={kind="rank_window", window=1024}',
]


def _steps(rate: float, sigma: float) -> list[str]:
    return [f"training.learning_rate={rate}", f"training.sigma={sigma}"]


def _stored(share: float) -> list[str]:
    """Return the keys for a share of the batch from a buffer that is built every 10 iterations, with 20 % to spare."""
    return [
        f"samplers[live].p_batch={1 - share}",
        f"samplers[live].buffer_size={round(768 * share)}",
        'buffer.selection="consume_once"',
    ]


GRID = {
    f"{share:g} 3e-4 {sigma:g}": [*_stored(share), *_steps(3e-4, sigma)]
    for share in (0.25, 0.5, 0.75)
    for sigma in (64.0, 128.0, 256.0)
}
"""The share of the batch that comes from the buffer, the learning rate, and sigma."""
SETTINGS = {
    "half 1e-4 128": [*HALF, *_steps(1e-4, 128.0)],
    "half 3e-4 128": [*HALF, *_steps(3e-4, 128.0)],
    "best 3e-4 128": [*BEST, *_steps(3e-4, 128.0)],
    "live 3e-4 128": [*LIVE, *_steps(3e-4, 128.0)],
    "half 5e-4 128": [*HALF, *_steps(5e-4, 128.0)],
    "live 5e-4 128": [*LIVE, *_steps(5e-4, 128.0)],
    "best 3e-4 500": [*BEST, *_steps(3e-4, 500.0)],
    **GRID,
}
"""The keys of the example that are set: HALF of a batch from a buffer that is built every 10 iterations, all of it
drawn LIVE, or a quarter of it the BEST rows so far; the learning rate, and sigma.
"""

_MEAN = "SELECT avg(value) FROM metrics WHERE run_id = ? AND name = 'reward_live' AND iteration >= ?"
_ITERATIONS = "SELECT max(iteration) + 1 FROM metrics WHERE run_id = ? AND name = 'reward_live'"
_LAST = "SELECT smiles FROM sample_history WHERE run_id = ? AND kept AND event = 'sample_batch' AND iteration >= ?"


def campaign_of(overrides: Sequence[str], objective: Objective, calls: int, seed: int) -> Settings:
    """Return the example with the given keys, objective and budget."""
    data = json.loads(load_settings(EXAMPLE, parse_overrides(overrides)).to_json())
    parts = [
        {
            **OneOf(COMPONENTS).table_from(part.component).model_dump(mode="json"),
            "weight": part.weight,
            "transform": OneOf(TRANSFORMS).table_from(part.transform).model_dump(mode="json"),
        }
        for part in objective.components
    ]
    data["objective"] = {"components": parts, "aggregation": str(objective.aggregation)}
    data["campaign"] |= {"seed": seed, "max_oracle_calls": calls, "iterations": 3 * calls // 64}
    return Settings.from_json(json.dumps(data))


def measure(settings: Settings, calls: int) -> dict[str, Any]:
    """Run a campaign in a store of its own, and return its results."""
    began = time.process_time()
    with (
        tempfile.TemporaryDirectory(prefix="default-table-") as folder,
        SampleStore.open_or_create(Path(folder) / "store") as store,
    ):
        with campaign_run(settings, store, RunKind.TRAIN, "run") as campaign:
            train_stages(campaign, local_builder, lambda _: None)
        since = store.query(_ITERATIONS, ["run"]).item() - LAST_ITERATIONS
        rewards = rewards_of_calls(store, "run")
        last = store.query(_LAST, ["run", since])["smiles"].to_list()
        return {
            "auc_top_10": area_under_best(rewards, calls, 10),
            "auc_top_100": area_under_best(rewards, calls, 100),
            "top_10": mean_of_top(rewards, 10),
            "mean": store.query(_MEAN, ["run", since]).item(),
            "uniqueness": len(set(last)) / len(last),
            "diversity": diversity_of(last[:1000]).internal,
            "calls_made": len(rewards),
            "seconds": time.process_time() - began,
        }


def table(lines: Sequence[dict[str, Any]]) -> str:
    """Return the means over objectives and seeds as a table in Markdown, the best first."""
    columns = ("auc_top_10", "auc_top_100", "top_10", "mean", "uniqueness", "diversity")
    rows = []
    for calls, name in dict.fromkeys((each["calls"], each["settings"]) for each in lines):
        same = [each for each in lines if (each["calls"], each["settings"]) == (calls, name)]
        of_objectives = ", ".join(f"{each['objective']} {each['auc_top_10']:.3f}" for each in same)
        rows.append((calls, [statistics.fmean(each[key] for each in same) for key in columns], name, of_objectives))
    head = "| calls | settings | " + " | ".join(columns) + " | AUC top-10 of each |"
    shown = [
        f"| {calls:,} | {name} | " + " | ".join(f"{value:.3f}" for value in means) + f" | {of_objectives} |"
        for calls, means, name, of_objectives in sorted(rows, key=lambda row: (row[0], -row[1][0]))
    ]
    return "\n".join([head, "| --- | --- |" + " --- |" * (len(columns) + 1), *shown])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--calls", type=int, default=3_000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--settings", nargs="*", default=[name for name in SETTINGS if name not in GRID])
    parser.add_argument("--grid", action="store_true", help="run all sigmas by all shares of the buffer instead")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no other campaign after so many")
    parser.add_argument("--objectives", nargs="*", default=list(objectives()))
    parser.add_argument("--table", action="store_true", help="print what is there, and run nothing")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    path = given.folder / "cells.jsonl"
    torch.set_num_threads(1)
    end = time.monotonic() + 60 * given.minutes
    for seed in range(0 if given.table else given.seeds):
        for name in GRID if given.grid else given.settings:
            for objective in given.objectives:
                cell = {"settings": name, "objective": objective, "seed": seed, "calls": given.calls}
                if time.monotonic() >= end or any(cell.items() <= each.items() for each in stored(path)):
                    continue
                settings = campaign_of(SETTINGS[name], objectives()[objective], given.calls, seed)
                with path.open("a") as file:
                    file.write(json.dumps({**cell, **measure(settings, given.calls)}) + "\n")
    print(table(stored(path)))


def stored(path: Path) -> list[dict[str, Any]]:
    """Return the campaigns of a file; the last line may be cut off."""
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]


if __name__ == "__main__":
    main()
