"""``molbuffer pairs``: a data set for conditional models from a file of molecules."""

import json
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from flows.cli import app

CHAINS = ["C" * n for n in range(3, 9)] + ["c1ccccc1", "not a molecule", "CCC"]
CONFIG = """
[[objective.components]]
kind = "property"
property = "molecular_weight"
transform = { kind = "linear", low = 0, high = 200 }

[[samplers]]
kind = "model"
name = "live"
buffer_size = 1
"""


@pytest.fixture
def chains(tmp_path: Path) -> Path:
    path = tmp_path / "chains.smi"
    path.write_text("\n".join(CHAINS))
    return path


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    assert result.exit_code > 0
    return result.output


def test_pairs_go_both_ways_and_the_most_similar_come_first(chains: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs.csv"
    said = json.loads(run("pairs", chains, "--min-similarity", 0.3, "--per-molecule", 2, "--out", out, "--json"))
    found = pl.read_csv(out)
    assert found.columns == ["source", "target", "similarity"]
    assert said == {"pairs": len(found), "sources": found["source"].n_unique(), "out": str(out)}
    assert len(found) > 4
    assert found["similarity"].min() >= 0.3
    assert found.group_by("source").len()["len"].max() == 2
    assert not set(found["source"]) & {"c1ccccc1", "not a molecule"}
    assert (found["source"] != found["target"]).all()
    for (_,), rows in found.group_by("source"):
        assert rows["similarity"].is_sorted(descending=True)


def test_only_pairs_that_improve_are_wanted(chains: Path, tmp_path: Path) -> None:
    config, out = tmp_path / "heavier.toml", tmp_path / "pairs.parquet"
    config.write_text(CONFIG)
    run("pairs", chains, "--min-similarity", 0.2, "--config", config, "--min-improvement", 0.1, "--out", out)
    found = pl.read_parquet(out)
    assert len(found) > 0
    # A methylene group weighs 14 of 200: two of them improve by 0.14, one by 0.07.
    lengths = found["target"].str.len_chars().cast(int) - found["source"].str.len_chars().cast(int)
    assert lengths.min() == 2
    gained = found["target_reward"] - found["source_reward"]
    assert gained.min() == pytest.approx(0.140, abs=0.001)


def test_a_part_of_the_molecules_can_be_taken(chains: Path) -> None:
    options = ("--min-similarity", 0, "--per-molecule", 100, "--format", "json", "--limit", 3)
    one, again, other = (json.loads(run("pairs", chains, *options, "--seed", seed)) for seed in (1, 1, 2))
    assert len(one) == 6
    assert one == again
    assert {row["source"] for row in one} != {row["source"] for row in other}


def test_what_cannot_be_done_is_said(chains: Path, tmp_path: Path) -> None:
    (tmp_path / "one.smi").write_text("CCO\nOCC\n")
    assert "a pair needs two" in refused("pairs", tmp_path / "one.smi")
    assert "needs --config" in refused("pairs", chains, "--min-improvement", 0.1)
    assert "0 <= minimum <= maximum <= 1" in refused("pairs", chains, "--max-similarity", 0.2)
    assert "morgan, fcfp, atom_pair" in refused("pairs", chains, "--fingerprint", "maccs")
    assert "need --out FILE" in refused("pairs", chains, "--json")
