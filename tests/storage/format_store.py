"""Makes the tiny store that stays in the tree for each format of the store, and says what is in it.

    python tests/storage/format_store.py tests/data/store-format-1

makes that folder, and tests/data/store-format-1.json with what is to be read from it. A store of a released format is
never made again: it shows that what users have can still be read. A new format, or a new schema, gets one of its own.
"""

import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
from safetensors.numpy import save
from writer_process import OBJECTIVE, make_build, make_run, make_samples

from molbuffer.storage import SampleStore
from molbuffer.storage.records import (
    Checkpoint,
    Commit,
    Consumed,
    Event,
    Metric,
    PolicyVersion,
    Reward,
    RowId,
    RunKind,
    RunStatus,
    Score,
    ScoreStatus,
)

HISTORY = """SELECT run_id, run_name, build_id, "row", iteration, event, sampler, policy_sha256, temperature, smiles,
    raw, source_smiles, kept, rejected_by, reward FROM sample_history ORDER BY ALL"""
TABLES = ("runs", "run_events", "builds", "samples", "rewards", "scores", "metrics", "policies", "consumed")
TABLES += ("checkpoints", "placements", "archives", "migrations")


def fill(store: SampleStore) -> int:
    """Commits something of everything that a store can hold; returns the version before the last commits."""
    weights = {"weights.safetensors": save({"w": np.arange(6, dtype=np.float32)}), "config.json": b'{"kind": "gru"}'}
    kept = store.policies.add(weights | {"vocabulary.json": b'["C", "O"]'})
    policies = [
        PolicyVersion(kept, "gru", run_id="run-1", iteration=0, weights_kept=True),
        PolicyVersion("policy-1", "gru", parent_sha256=kept, run_id="run-1", iteration=1),
    ]
    store.start_run(make_run(objective_sha256=OBJECTIVE, libraries={"rdkit": "2026.03"}, user="somebody"))
    rewards = [Reward(0, OBJECTIVE, 0.5), Reward(3, OBJECTIVE, None, ScoreStatus.PENDING)]
    first = make_build(0, scores=[Score("C", "qed", "v1", 0.36)], policy_sha256=kept)
    live = make_build(0, seed=1, event=Event.SAMPLE_BATCH, rewards=rewards, sampler_order=1)
    store.commit(Commit([first, live], policies=policies))
    latents = np.linspace(-1, 1, 12, dtype=np.float32).reshape(6, 2)
    vae = make_build(1, sampler="vae", samples=make_samples(seed=2, latents=latents))
    store.commit(
        Commit(
            [vae],
            run_id="run-1",
            consumed=[Consumed(first.build_id, [0, 4], 1), Consumed(live.build_id, [0], 1)],
            run_metrics=[(1, Metric("loss", 1.25))],
            checkpoint=Checkpoint("run-1", 1, {"state.json": b'{"iteration": 1}'}),
        )
    )
    store.record_scores([Score("CC", "docking", "v2", None, ScoreStatus.FAILED, error="no pose", seconds=3.5)])
    store.add_rewards(first.build_id, [Reward(0, "objective-2", 0.75)], "run-1")
    store.maintenance.compact()
    before = store.snapshot()
    pairs = make_samples(
        seed=3,
        vocabulary="vocabulary-2",
        source_smiles=["C", None, "CC", "C", "C", "CO"],
        source_rows=[RowId(first.build_id, 0), None, None, None, None, RowId(live.build_id, 0)],
    )
    store.commit(Commit([make_build(2, sampler="pairs", samples=pairs)]))
    store.start_run(make_run("run-2", kind=RunKind.OFFLINE, pinned_snapshot=before))
    store.finish_run("run-1", RunStatus.FINISHED)
    return before


def contents(store: SampleStore, before: int) -> dict[str, object]:
    """What is to be read from the store; the version ``before`` has the first three builds."""
    return {
        "uuid": store.uuid,
        "history": store.query(HISTORY).to_dicts(),
        "rows": {table: store.query(f"SELECT count(*) FROM {table}").item() for table in TABLES},
        "arrays": {receipt.build_id: arrays(store, receipt.build_id) for receipt in store.receipts("run-1")},
        "scores": store.query(
            "FROM score_cache SELECT smiles, component, value, status, error ORDER BY ALL"
        ).to_dicts(),
        "policies": store.query("FROM lineage SELECT sha256, kept_ancestor, weights_kept ORDER BY ALL").to_dicts(),
        "before": {"version": before, "history": store.query(HISTORY, snapshot=before).to_dicts()},
    }


def arrays(store: SampleStore, build_id: str) -> dict[str, object]:
    """The arrays of a build as lists."""
    rows = store.build(build_id).samples.rows
    found = {name: getattr(rows, name) for name in ("tokens", "lengths", "log_probs", "latents")}
    return {name: None if array is None else array.tolist() for name, array in found.items()}


def settle(path: Path) -> None:
    """Leaves what git keeps: no write-ahead log, no lock, and no name of the place where the store was made."""
    with closing(sqlite3.connect(path / "catalog.sqlite", isolation_level=None)) as catalog:
        catalog.execute("UPDATE ducklake_metadata SET value = '/where/it/was/made/tables/' WHERE key = 'data_path'")
        catalog.execute("PRAGMA journal_mode = DELETE")
        catalog.execute("VACUUM")
    for lock in path.glob("*.lock"):
        lock.unlink()


def main() -> None:
    path = Path(sys.argv[1])
    with SampleStore.create(path) as store:
        said = contents(store, fill(store))
    settle(path)
    path.with_name(f"{path.name}.json").write_text(json.dumps(said, indent=1) + "\n")


if __name__ == "__main__":
    main()
