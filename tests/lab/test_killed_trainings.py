"""R16: a run that is killed at any commit has, once it is gone on with, the rows and weights of one that never was.

Every kind of loss, selection, augmentation, bucket and bonus, and the best agent, are in ``killed_training.RUNS``; the
kills are those of the operating system.
"""

import importlib.util
import json
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from molbuffer.scoring import BucketName
from molbuffer.storage import SELECTIONS, SampleStore
from molbuffer.training import LOSSES
from molbuffer.training.diversity.penalties import PENALTIES

SCRIPT = Path(__file__).with_name("killed_training.py")


def loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RUNS = loaded(SCRIPT)

TOLD = {
    "rows": """SELECT iteration, event, sampler, policy_sha256, raw, smiles, kept, rejected_by, reward, seed
        FROM {sample_history} JOIN (SELECT build_id, seed FROM {builds}) USING (build_id) WHERE run_id = ?
        ORDER BY iteration, event, sampler, "row" """,
    "metrics": """SELECT iteration, sampler, name, value FROM {metrics} WHERE run_id = ?
        AND name NOT LIKE '%seconds%' ORDER BY iteration, sampler, name, value""",
    "consumed": """SELECT c.iteration, b.iteration AS drawn, b.event, c."row" FROM {consumed} AS c JOIN {builds} AS b
        USING (build_id) WHERE c.run_id = ? ORDER BY ALL""",
    "bucketed": "SELECT iteration, smiles, bucket FROM {bucketed_molecules} WHERE run_id = ? ORDER BY ALL",
}


def made(forks: Any, store: Path, *runs: dict[str, Any]) -> Any:
    """Return what a process tells of its runs; one that is to kill itself has been killed."""
    process = forks.start(SCRIPT, store, json.dumps(runs))
    output, errors = process.communicate(timeout=300)
    if any("last" in run for run in runs):
        assert process.returncode == -signal.SIGKILL, errors
        return None
    assert process.returncode == 0, errors
    return json.loads(output)


def told(store: Path, runs: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    with SampleStore.open(store, read_only=True) as opened:
        for name, run in runs.items():
            tables = {what: opened.read_arrow(sql, parameters=[run["run_id"]]) for what, sql in TOLD.items()}
            yield name, {what: pl.from_arrow(table) for what, table in tables.items()} | {"run": run}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """What the stores have of runs that were never killed, and of those that were."""
    forks = loaded(SCRIPT.parents[1] / "storage" / "forking.py").Forks(SCRIPT)
    folder = tmp_path_factory.mktemp("stores")
    whole = made(forks, folder / "whole", *({"name": name} for name in RUNS.RUNS))
    for place, (name, run) in enumerate(whole.items()):
        chance = random.Random(place)
        # The first commit is that of the policies, the last one that of the last checkpoint.
        last = {"last": chance.randrange(2, run["commits"]), "before": chance.random() < 0.5}
        made(forks, folder / "killed", {"name": name, **last})
    with SampleStore.open(folder / "killed", read_only=True) as store:
        ids = {row["name"]: row["run_id"] for row in store.read_arrow("SELECT name, run_id FROM {runs}").to_pylist()}
    killed = made(forks, folder / "killed", *({"name": name, "resume": ids[name]} for name in whole))
    yield dict(told(folder / "whole", whole)), dict(told(folder / "killed", killed))
    forks.close()


@pytest.mark.parametrize("name", list(RUNS.RUNS))
def test_r16_a_run_that_was_killed_has_the_rows_and_weights_of_one_that_was_not(
    both: tuple[dict[str, Any], dict[str, Any]], name: str
) -> None:
    expected, found = (each[name] for each in both)
    assert len(expected["rows"]) > 30
    for what in TOLD:
        assert_frame_equal(found[what], expected[what])
    assert found["run"]["policy"] == expected["run"]["policy"]


def test_every_kind_is_among_the_runs() -> None:
    own = {family: {name for name, kind in family.kinds.items() if kind.is_own} for family in (LOSSES, SELECTIONS)}
    assert own[LOSSES] == RUNS.LEARNED
    assert own[SELECTIONS] == RUNS.SELECTED
    memories = [part.diversity for parts in RUNS.RUNS.values() for part in parts if part.diversity is not None]
    assert {memory.buckets for memory in memories} == set(get_args(BucketName))
    assert {memory.penalty for memory in memories} == set(PENALTIES)
    assert {memory.bonus for memory in memories} == {"none", "rnd", "surprise"} and any(m.purge for m in memories)
