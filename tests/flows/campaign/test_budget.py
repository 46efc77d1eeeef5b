"""R26: the budget of oracle calls through flows and tasks, and what people are told of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from molbuffer.storage import SampleStore

Command = Callable[..., Any]
ASKED = "SELECT count(DISTINCT smiles) FROM sample_history WHERE starts_with(run_id, ?) AND kept"


def test_r26_a_run_is_ended_by_its_budget_and_goes_on_with_a_larger_one(
    molbuffer: Command, tiny_config: Path, tmp_path: Path
) -> None:
    tiny_config.write_text(tiny_config.read_text().replace("iterations = 4", "iterations = 50"))
    store = tmp_path / "store"
    arguments = ("run", tiny_config, "--store", store, "--set")
    done = molbuffer(*arguments, "campaign.max_oracle_calls=38", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["ended"], result["oracle_calls"]) == ("38 oracle calls", 38)
    with SampleStore.open(store, read_only=True) as opened:
        assert opened.query(ASKED, [result["run_id"]]).item() == 38
        assert opened.query("SELECT count(*) FROM sample_history WHERE rejected_by = 'budget'").item() > 0
    again = molbuffer(*arguments, "campaign.max_oracle_calls=55", "--resume", result["run_id"])
    assert again.returncode == 0, again.stderr
    assert "ended          55 oracle calls" in again.stdout
    with SampleStore.open(store, read_only=True) as opened:
        assert opened.query(ASKED, [result["run_id"]]).item() == 55
    runs = json.loads(molbuffer("runs", "--store", store, "--json").stdout)
    told = [(run["status"], run["detail"], run["oracle_calls"]) for run in runs]
    assert told == [("finished", "55 oracle calls", 55)]
