"""``molbuffer pairs``: a data set for conditional models from a file of molecules."""

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from molbuffer.flows.cli import app
from molbuffer.flows.errors import UsageError
from molbuffer.samplers.errors import SmilesFileError
from molbuffer.scoring import standardise_smiles
from molbuffer.scoring.components import QED
from molbuffer.scoring.errors import ScoringConfigurationError
from molbuffer.scoring.molecules.similarity.neighbours import SimilarityBounds, similar_pairs

WriteScorer = Callable[[str], str]

CHAINS = ["C" * n for n in range(3, 9)] + ["c1ccccc1", "not a molecule", "CCC"]
ASSAY = """
def count(smiles):
    with open(__file__ + ".calls", "a") as calls:
        calls.write(smiles + "\\n")
    return 0.5
"""
DRUGS = ["CC(=O)Oc1ccccc1C(=O)O", "CC(=O)Nc1ccc(O)cc1", "CCOC(=O)c1ccc(N)cc1", "CCOc1ccc(CC(=O)Nc2ccccc2)cc1"]
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


def test_pairs_that_improve_a_property_can_be_had_without_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "drugs.smi").write_text("\n".join(DRUGS))
    out = tmp_path / "pairs.csv"
    options = ("--min-similarity", 0.1, "--per-molecule", 50, "--improve", "qed", "--min-improvement", 0.05)
    run("pairs", tmp_path / "drugs.smi", *options, "--out", out)
    found = pl.read_csv(out)
    qed = {standardise_smiles(text): QED().values([standardise_smiles(text)])[0].value for text in DRUGS}
    compared = similar_pairs(list(qed), SimilarityBounds(0.1))
    values = list(qed.values())
    better = [(i, j) for i, j in zip(compared.first, compared.second, strict=True) if values[j] - values[i] >= 0.05]
    assert len(found) == len(better) > 3
    for row in found.rows(named=True):
        assert (row["source_reward"], row["target_reward"]) == pytest.approx((qed[row["source"]], qed[row["target"]]))
        assert row["target_reward"] - row["source_reward"] >= 0.05


def test_pairs_of_one_scaffold(tmp_path: Path) -> None:
    rings = ["Cc1ccccc1", "CCc1ccccc1", "CC1CCCCC1", "CCC1CCCCC1", "CCCC", "CCCCC"]
    (tmp_path / "rings.smi").write_text("\n".join(rings))
    options = ("--min-similarity", 0, "--format", "json", "--same-scaffold")
    found = json.loads(run("pairs", tmp_path / "rings.smi", *options))
    assert sorted((row["source"], row["target"]) for row in found) == sorted(
        pair for at in (0, 2, 4) for pair in [(rings[at], rings[at + 1]), (rings[at + 1], rings[at])]
    )


def test_no_score_of_a_pair_is_paid_for_twice(chains: Path, tmp_path: Path, write_scorer: WriteScorer) -> None:
    module = write_scorer(ASSAY)
    config = tmp_path / "assay.toml"
    component = f'kind = "python"\nfunction = "{module}:count"\ncost = "high"'
    config.write_text(CONFIG.replace('kind = "property"\nproperty = "molecular_weight"', component))
    for _ in range(2):
        run("pairs", chains, "--config", config, "--store", tmp_path / "lab", "--out", tmp_path / "pairs.csv")
    (calls,) = (tmp_path / "scorers").glob("*.calls")
    assert sorted(calls.read_text().split()) == sorted({*CHAINS} - {"not a molecule"})


def test_a_part_of_the_molecules_can_be_taken(chains: Path) -> None:
    options = ("--min-similarity", 0, "--per-molecule", 100, "--format", "json", "--limit", 3)
    one, again, other = (json.loads(run("pairs", chains, *options, "--seed", seed)) for seed in (1, 1, 2))
    assert len(one) == 6
    assert one == again
    assert {row["source"] for row in one} != {row["source"] for row in other}


def test_what_cannot_be_done_is_said(chains: Path, tmp_path: Path, refused: Callable[..., BaseException]) -> None:
    one, config = tmp_path / "one.smi", tmp_path / "one.toml"
    one.write_text("CCO\nOCC\n")
    cases = [
        ([one], SmilesFileError, str(one)),
        ([chains, "--min-improvement", 0.1], UsageError, "--config"),
        ([chains, "--improve", "qed", "--config", config], UsageError, "--improve"),
        ([chains, "--improve", "qd"], ScoringConfigurationError, "'qed'"),
        ([chains, "--store", tmp_path / "lab"], UsageError, "--config"),
        ([chains, "--max-similarity", 0.2], ScoringConfigurationError, "0 <= minimum <= maximum <= 1"),
        ([chains, "--fingerprint", "maccs"], UsageError, "morgan, fcfp, atom_pair"),
        ([chains, "--json"], UsageError, "--out"),
    ]
    for arguments, kind, named in cases:
        error = refused("pairs", *arguments)
        assert isinstance(error, kind) and named in str(error), (arguments, type(error), error)
