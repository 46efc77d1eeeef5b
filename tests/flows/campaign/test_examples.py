"""The examples, run as their first lines say, with fewer and smaller iterations."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
Run = Callable[..., str]
SMALLER: Mapping[str, int] = {
    "iterations": 2,
    "batch_size": 8,
    "buffer_size": 8,
    "steps": 2,
    "from_iteration": 1,
    "update_size": 6,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The examples with smaller numbers."""
    folder = tmp_path / "examples"
    shutil.copytree(EXAMPLES, folder)
    for file in folder.glob("*.toml"):
        text = file.read_text()
        for key, small in SMALLER.items():
            text = re.sub(rf"^{key} = \d+", f"{key} = {small}", text, flags=re.MULTILINE)
        file.write_text(text)
    return folder


@pytest.fixture
def run(folder: Path, molbuffer: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command in the folder of the examples, where functions to score with are found."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])

    def command(*arguments: str) -> str:
        done = molbuffer(*arguments)
        assert done.returncode == 0, done.stderr
        return str(done.stdout)

    return command


def query(run: Run, store: str, sql: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(run("query", "--store", store, sql, "--format", "json"))
    return rows


def drawn(run: Run, store: str) -> dict[tuple[str, str], int]:
    """How many rows each sampler drew in each event."""
    rows = query(run, store, "SELECT sampler, event, count(*) AS n FROM sample_history GROUP BY ALL")
    return {(row["sampler"], row["event"]): row["n"] for row in rows}


def test_the_shape_example_scores_with_its_own_function(run: Run) -> None:
    run("run", "shape.toml", "--store", "shapes")
    sql = "SELECT component, status, value, seconds FROM scores WHERE component = 'shape'"
    scores = query(run, "shapes", sql)
    assert len(scores) >= 8
    values = [score["value"] for score in scores if score["status"] == "ok"]
    assert len(values) >= 6
    assert all(0 < value < 1 for value in values)
    assert len(set(values)) > len(values) // 2


COUNTED = """SELECT component, status, count(DISTINCT smiles) AS n FROM molecule_scores
    WHERE component NOT IN ('qed', 'sa_score') GROUP BY ALL ORDER BY ALL"""


def test_the_program_example_asks_its_program_for_what_passes_the_gate(run: Run) -> None:
    run("run", "program.toml", "--store", "programs")
    counts = {(row["component"], row["status"]): row["n"] for row in query(run, "programs", COUNTED)}
    assert counts["pbf", "gated"] == counts["asphericity", "gated"] > 0
    assert counts["pbf", "ok"] == counts["asphericity", "ok"] > 0
    stored = query(run, "programs", "SELECT count(*) AS n FROM scores WHERE component = 'pbf'")
    assert stored == [{"n": sum(n for (name, status), n in counts.items() if name == "pbf" and status != "gated")}]


def test_the_service_example_asks_its_service(folder: Path, run: Run) -> None:
    with subprocess.Popen(
        [sys.executable, "service.py", "0"], cwd=folder, stdout=subprocess.PIPE, text=True
    ) as service:
        try:
            assert service.stdout is not None
            url = service.stdout.readline().strip()
            run(
                "run",
                "service.toml",
                "--store",
                "services",
                "--set",
                f'objective.components[solubility].urls=["{url}"]',
            )
        finally:
            service.kill()
    (row,) = query(run, "services", COUNTED)
    assert (row["component"], row["status"]) == ("solubility", "ok")


@pytest.mark.parametrize(
    ("name", "sampler", "metric"),
    [
        ("prior", "prior", "latent_rows_prior"),
        ("latent", "near-inhibitors", "latent_rows_near-inhibitors"),
        ("contrastive", "pairs", "similarity"),
    ],
)
def test_an_example_draws_for_the_buffer_and_for_batches(run: Run, name: str, sampler: str, metric: str) -> None:
    run("run", f"{name}.toml", "--store", "lab")
    rows = drawn(run, "lab")
    assert rows[sampler, "build_buffer"] >= 8
    assert rows[sampler, "sample_batch"] >= 2 * 4
    found = query(run, "lab", f"SELECT value FROM metrics WHERE name = '{metric}' AND value IS NOT NULL")
    assert len(found) >= SMALLER["iterations"]
    assert all(each["value"] > 0 for each in found)


def test_augmented_memory_learns_again_from_the_best_molecules_of_the_run(run: Run) -> None:
    run("run", "augmented_memory.toml", "--store", "memories")
    sql = "SELECT name, value FROM metrics WHERE name IN ('updates', 'reward_later', 'policy_lag_max') ORDER BY ALL"
    found = query(run, "memories", sql)
    values = {name: [row["value"] for row in found if row["name"] == name] for name in {row["name"] for row in found}}
    assert values["updates"] == [3.0, 3.0]
    assert all(value is not None and value >= 0 for value in values["reward_later"])
    assert max(values["policy_lag_max"]) <= 1 and drawn(run, "memories")["live", "sample_batch"] >= 2 * 8


def test_the_stages_example_goes_through_its_stages(run: Run) -> None:
    found = json.loads(run("run", "stages.toml", "--store", "lab", "--set", "campaign.iterations=5", "--json"))
    assert found["iterations"] == 5
    rows = query(
        run, "lab", "SELECT stage, count(DISTINCT objective_sha256) AS n FROM builds GROUP BY ALL ORDER BY ALL"
    )
    assert rows == [{"stage": 0, "n": 1}, {"stage": 1, "n": 1}, {"stage": 2, "n": 1}]
    names = query(run, "lab", "SELECT DISTINCT value FROM metrics WHERE name = 'stage' ORDER BY value")
    assert [row["value"] for row in names] == [0, 1, 2]


def test_what_the_history_example_stored_is_trained_from_offline(run: Run) -> None:
    # The history that is drawn from is that of the last checkpoint.
    longer = ("--set", "campaign.iterations=4", "--set", "training.checkpoint_every=2")
    run("run", "history.toml", "--store", "histories", *longer)
    again = query(run, "histories", "SELECT count(*) AS n FROM metrics WHERE name = 'share_best-so-far'")
    assert again[0]["n"] > 0
    before = query(run, "histories", "SELECT count(*) AS n FROM sample_history")
    trained = json.loads(run("run", "offline.toml", "--store", "histories", "--json"))
    assert trained["iterations"] == SMALLER["steps"]
    assert trained["rows"] > 0
    assert query(run, "histories", "SELECT count(*) AS n FROM sample_history") == before
    run("archive", "--store", "histories", "--out", "histories.tar.gz")
    elsewhere = json.loads(
        run("offline", "offline.toml", "--store", "elsewhere", "--from", "histories.tar.gz", "--json")
    )
    assert elsewhere["policy"] == trained["policy"]
