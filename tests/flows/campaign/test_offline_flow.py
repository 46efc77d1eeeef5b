"""The flow of offline training: what the table [offline] asks for, and the result."""

import json
from pathlib import Path

import pytest

from molbuffer.flows.cli.common.preparation import Prepared, check_rows_there
from molbuffer.flows.settings.settings import Settings
from molbuffer.flows.train_offline import train_offline
from molbuffer.flows.work import run_offline
from molbuffer.samplers import last_policy
from molbuffer.storage import SampleStore, StoreNotFoundError
from molbuffer.storage.errors import ArchiveError
from molbuffer.training import BatchShortError


@pytest.mark.usefixtures("prefect_server")
def test_rows_are_relabelled_held_out_and_reported(scored_store: Path, tiny_settings: Settings) -> None:
    data = json.loads(tiny_settings.to_json())
    data["objective"] = {"components": [{"kind": "similarity", "target": "CCCCO"}]}
    assert "relabel" in train_error(json.dumps(data), scored_store)
    data["offline"] |= {
        "relabel": "cheap",
        "validation": 0.25,
        "split": "random",
        "validate_every": 1,
        "kl_weight": 0.1,
    }
    data["offline"]["evaluation"]["draws"] = 8
    result = train_offline(json.dumps(data), str(scored_store))
    report = result["report"]
    assert report["relabelled"]["rewarded"] == report["data"]["rows"] == 32
    assert report["held_out"] + result["rows"] == 32
    assert report["policy"]["rows"] == 8
    with SampleStore.open(scored_store, read_only=True) as store:
        kinds = store.query("SELECT kind FROM runs WHERE run_id <> ? ORDER BY kind", ["a" * 32])["kind"].to_list()
        # The training without rows is not recorded.
        assert kinds == ["offline", "score"]
        assert last_policy(store, result["run_id"]) == result["policy"]
        sql = "SELECT value FROM metrics WHERE run_id = ? AND name = 'best_iteration'"
        assert store.query(sql, [result["run_id"]])["value"].to_list() == [report["best_iteration"]]


def test_rows_without_a_reward_are_found_before_a_server_is_started(
    scored_store: Path, tiny_settings: Settings, tmp_path: Path
) -> None:
    data = json.loads(tiny_settings.to_json())
    known = Prepared(Settings.from_json(json.dumps(data)), "b" * 32)
    check_rows_there(known, scored_store)
    with pytest.raises(BatchShortError, match="another condition"):
        check_rows_there(known, scored_store, where="reward > 5")
    data["objective"] = {"components": [{"kind": "similarity", "target": "CCCCO"}]}
    other = Prepared(Settings.from_json(json.dumps(data)), "b" * 32)
    with pytest.raises(BatchShortError, match='relabel = "cheap"'):
        check_rows_there(other, scored_store)
    with pytest.raises(BatchShortError, match='relabel = "cheap"'):
        check_rows_there(other, scored_store, [scored_store])
    data["offline"]["relabel"] = "cheap"
    check_rows_there(Prepared(Settings.from_json(json.dumps(data)), "b" * 32), scored_store)
    # A run that has begun has its rows pinned.
    check_rows_there(Prepared(other.settings, "a" * 32), scored_store)
    check_rows_there(other, tmp_path / "none")


def test_sources_are_looked_into_before_a_server_is_started(
    scored_store: Path, tiny_settings: Settings, tmp_path: Path
) -> None:
    data = json.loads(tiny_settings.to_json())
    ready = Prepared(Settings.from_json(json.dumps(data)), "b" * 32)
    with SampleStore.open(scored_store) as store:
        store.archive(tmp_path / "archive")
    # The store of the run need not be there yet.
    check_rows_there(ready, tmp_path / "none", [tmp_path / "archive"])
    with pytest.raises(BatchShortError, match="another condition"):
        check_rows_there(ready, tmp_path / "none", [tmp_path / "archive"], where="reward > 5")
    with pytest.raises(StoreNotFoundError, match="no store and no archive at"):
        check_rows_there(ready, scored_store, [tmp_path / "archive", tmp_path / "nowhere"])
    next((tmp_path / "archive").rglob("*.parquet")).unlink()
    with pytest.raises(ArchiveError):
        check_rows_there(ready, scored_store, [tmp_path / "archive"])


def train_error(config: str, store: Path) -> str:
    """Return the error of an offline training."""
    with pytest.raises(Exception, match="no stored row has a reward") as caught:
        run_offline(config, str(store))
    return str(caught.value)
