"""The flow of offline training: what the table [offline] asks for, and the result."""

import json
from pathlib import Path

import pytest

from molbuffer.flows.settings.settings import Settings
from molbuffer.flows.train_offline import train_offline
from molbuffer.samplers import last_policy
from molbuffer.storage import SampleStore


@pytest.mark.usefixtures("prefect_server")
def test_rows_are_relabelled_held_out_and_reported(scored_store: Path, tiny_settings: Settings) -> None:
    data = json.loads(tiny_settings.to_json())
    data["objective"] = {"components": [{"kind": "similarity", "target": "CCCCO"}]}
    none = train_error(json.dumps(data), scored_store)
    assert "relabel" in none
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
        assert kinds == ["offline", "offline", "score"]
        assert last_policy(store, result["run_id"]) == result["policy"]
        sql = "SELECT value FROM metrics WHERE run_id = ? AND name = 'best_iteration'"
        assert store.query(sql, [result["run_id"]])["value"].to_list() == [report["best_iteration"]]


def train_error(config: str, store: Path) -> str:
    """Return the error of an offline training."""
    with pytest.raises(Exception, match="stored rows") as caught:
        train_offline(config, str(store))
    return str(caught.value)
