"""The flows on a real Prefect server, a real store, and the bundled prior."""

import asyncio
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from prefect.cache_policies import NO_CACHE

from molbuffer.flows.build_buffer import build
from molbuffer.flows.campaign.campaign import run_seed
from molbuffer.flows.maintain import maintain_store_task
from molbuffer.flows.settings.settings import Settings, load_settings
from molbuffer.flows.tasks import local_builder, made_here
from molbuffer.flows.tasks.building import build_buffer_task
from molbuffer.flows.train import train
from molbuffer.flows.train_offline import train_offline
from molbuffer.flows.work import run_build, run_offline, run_online
from molbuffer.storage import SampleStore
from molbuffer.storage.records import RunKind

ROWS = """
    SELECT iteration, event, sampler, row, smiles, raw, kept, rejected_by, reward, temperature, policy_sha256
    FROM sample_history ORDER BY iteration, event, sampler, row, raw
"""


def history(store: Path) -> pl.DataFrame:
    with SampleStore.open(store, read_only=True) as opened:
        return opened.query(ROWS)


@pytest.fixture(scope="module")
def trained(
    prefect_server: None, tiny_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """A store with one training of the tiny campaign, to read or to copy, and what the flow returned."""
    store = tmp_path_factory.mktemp("trained") / "store"
    return store, train(load_settings(tiny_template).to_json(), str(store))


@pytest.fixture
def copied(trained: tuple[Path, dict[str, Any]], tmp_path: Path) -> Path:
    """A copy of that store, as stores may be copied while nothing has them open."""
    return shutil.copytree(trained[0], tmp_path / "store")


def test_two_runs_of_one_seed_store_identical_rows(
    trained: tuple[Path, dict[str, Any]], tiny_settings: Settings, tmp_path: Path
) -> None:
    store, result = trained
    again = run_online(tiny_settings.to_json(), str(tmp_path / "two"), local_builder)
    one, two = history(store), history(tmp_path / "two")
    assert_frame_equal(one, two)
    assert result["policy"] == again["policy"]
    # 2 builds of 24 for the buffer, 4 live draws of 8.
    assert one.filter(pl.col("kept")).group_by("event").len().sort("event").rows() == [
        ("build_buffer", 48),
        ("sample_batch", 32),
    ]


def test_each_further_build_draws_other_molecules_and_a_resumed_one_the_same(
    tiny_settings: Settings, tmp_path: Path
) -> None:
    config, store = tiny_settings.to_json(), str(tmp_path / "store")
    results = [run_build(config, store, made_here) for _ in range(2)]
    # Of a build whose process was killed after its commit.
    results.append(run_build(config, store, made_here, run_id=results[0]["run_id"]))
    assert results[2]["builds"] == results[0]["builds"]
    kept = history(tmp_path / "store").filter(pl.col("kept"))
    assert len(kept) == 2 * 24
    assert kept["smiles"].n_unique() > 24
    with SampleStore.open(tmp_path / "store", read_only=True) as opened:
        runs = opened.query("SELECT run_id, seed FROM runs ORDER BY created").rows()
        seeds = [run_seed(tiny_settings, opened, RunKind.BUILD, run_id) for run_id, _ in runs]
        assert seeds == [seed for _, seed in runs]
        assert run_seed(tiny_settings, opened, RunKind.TRAIN, "new") == tiny_settings.campaign.seed
    assert len({*seeds, tiny_settings.campaign.seed}) == 3


@pytest.fixture
def built(prefect_server: None, tiny_settings: Settings, tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """A store with one build of the tiny campaign, and what the flow returned."""
    return tmp_path / "store", build(tiny_settings.to_json(), str(tmp_path / "store"))


@pytest.mark.parametrize(("flow", "expected"), [("built", [24]), ("trained", [24, 24])])
def test_every_build_is_a_visible_task_run_and_its_rows_name_it(
    request: pytest.FixtureRequest, flow: str, expected: list[int]
) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import TaskRunFilter, TaskRunFilterId

    folder, result = request.getfixturevalue(flow)
    with SampleStore.open(folder, read_only=True) as store:
        builds = store.query(
            "SELECT build_id, kept, flow_run_id, task_run_id FROM builds "
            "WHERE event = 'build_buffer' ORDER BY iteration"
        )
    assert builds["kept"].to_list() == expected
    assert builds["flow_run_id"].n_unique() == 1
    if flow == "built":
        assert [receipt["build_id"] for receipt in result["builds"]] == builds["build_id"].to_list()

    async def visible() -> list[tuple[str, str | None]]:
        async with get_client() as client:
            ids = TaskRunFilter(id=TaskRunFilterId(any_=builds["task_run_id"].to_list()))
            runs = await client.read_task_runs(task_run_filter=ids)
            return [(run.name.partition("-")[0], run.state_name) for run in runs]

    assert asyncio.run(visible()) == [("build_buffer", "Completed")] * len(expected)


SOMETIMES = """
def score(smiles):
    if "F" in smiles:
        raise ValueError("no fluorine")
    return 0.5
"""


@pytest.mark.parametrize(
    "work", [partial(run_build, maker=made_here), partial(run_online, builder=local_builder)], ids=["build", "train"]
)
def test_scores_that_failed_are_counted(
    tiny_config: Path, tmp_path: Path, write_scorer: Callable[[str], str], work: Callable[[str, str], dict[str, Any]]
) -> None:
    function = f'kind = "python"\nfunction = "{write_scorer(SOMETIMES)}:score"'
    text = tiny_config.read_text().replace('kind = "qed"', function)
    # A build draws other molecules than the one before it: more than half of them may have fluorine.
    tiny_config.write_text(text.replace("[campaign]", "[campaign]\nmax_failed_share = 1.0"))
    # Twice: what an earlier run could not compute was not asked for again, and is not this one's.
    for times in range(2):
        result = work(load_settings(tiny_config).to_json(), str(tmp_path / "store"))
        with SampleStore.open(tmp_path / "store", read_only=True) as store:
            rows = store.query(
                f"SELECT count(*) AS n FROM scores WHERE error LIKE '%no fluorine%' AND run_id = '{result['run_id']}'"
            )
        assert result["failed_scores"] == rows["n"][0]
        assert result["failed_scores"] > 0 or times


def test_the_results_of_tasks_that_write_are_never_cached() -> None:
    """A cached result would be returned, and nothing written, when the same chunk is asked for in another store."""
    assert [task.cache_policy for task in (build_buffer_task, maintain_store_task)] == [NO_CACHE, NO_CACHE]


@pytest.mark.usefixtures("prefect_server")
def test_offline_training_draws_nothing_and_is_bound_to_its_snapshot_while_another_training_adds_a_run(
    trained: tuple[Path, dict[str, Any]], copied: Path, tiny_settings: Settings
) -> None:
    store, online = copied, trained[1]
    before = history(store)
    first = train_offline(tiny_settings.to_json(), str(store), snapshot=online["snapshot"])
    again = run_online(tiny_settings.to_json(), str(store), local_builder)
    second = run_offline(tiny_settings.to_json(), str(store), snapshot=online["snapshot"])
    assert first["policy"] == second["policy"] != online["policy"]
    assert first["rows"] == before["reward"].is_not_null().sum()
    with SampleStore.open(store, read_only=True) as opened:
        offline_rows = opened.query("SELECT r.kind, count(*) AS n FROM builds JOIN runs r USING (run_id) GROUP BY 1")
        runs = opened.query("SELECT run_id, count(*) AS n FROM sample_history GROUP BY run_id")
    assert set(runs["run_id"]) == {online["run_id"], again["run_id"]}
    assert again["policy"] == online["policy"]
    assert offline_rows.filter(pl.col("kind") == "offline").is_empty()


def test_where_restricts_the_rows_of_offline_training(copied: Path, tiny_settings: Settings) -> None:
    good = history(copied).filter(pl.col("reward") > 0.6)
    result = run_offline(tiny_settings.to_json(), str(copied), where="reward > 0.6")
    assert result["rows"] == len(good)
