"""The examples, run as their first lines say, with fewer and smaller iterations."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
BIN = Path(sys.executable).parent
SMALLER = {
    "iterations = 60": "iterations = 2",
    "batch_size = 64": "batch_size = 8",
    "buffer_size = 256": "buffer_size = 8",
}


def run(folder: Path, *arguments: str) -> str:
    done = subprocess.run([BIN / "molbuffer", *arguments], cwd=folder, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.timeout(600)
def test_the_shape_example_scores_with_its_own_function(tmp_path: Path) -> None:
    folder = tmp_path / "examples"
    shutil.copytree(EXAMPLES, folder)
    config = folder / "shape.toml"
    text = config.read_text()
    for full, small in SMALLER.items():
        assert full in text
        text = text.replace(full, small)
    config.write_text(text)
    run(folder, "run", "shape.toml", "--store", "shapes")
    sql = "SELECT component, status, value, seconds FROM scores WHERE component = 'shape'"
    scores = json.loads(run(folder, "query", "--store", "shapes", sql, "--format", "json"))
    assert len(scores) >= 8
    values = [score["value"] for score in scores if score["status"] == "ok"]
    assert len(values) >= 6
    assert all(0 < value < 1 for value in values)
    assert len(set(values)) > len(values) // 2
