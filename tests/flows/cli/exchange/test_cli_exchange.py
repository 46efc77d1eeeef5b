"""``molbuffer ingest`` and ``molbuffer export --as``: what a user gives and is told."""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from molbuffer.flows.settings import load_settings, warnings_of

Command = Callable[..., Any]
ASSAY = "smiles,pIC50,note\nCCO,8.5,a\nCCN,5,\nCCO,8.5,b\nnothing,6,\nCCCO,n.d.,\nCCCCO,6.5,\nCCCCN,7,\nCCCCCO,7.5,\n"


def ingested(molbuffer: Command, folder: Path, *options: str | Path) -> Any:
    (folder / "assay.csv").write_text(ASSAY)
    given = ["--as", "csv", "--store", folder / "lab", "--objective-name", "pic50", "--reward", "pIC50"]
    return molbuffer("ingest", folder / "assay.csv", *given, *options)


def test_an_assay_is_imported_and_trained_on_offline(
    molbuffer: Command, tmp_path: Path, tiny_config: Path, small_prior: Path
) -> None:
    options = ("--low", "4", "--high", "9", "--policy", small_prior)
    done = ingested(molbuffer, tmp_path, *options)
    assert done.returncode == 0, done.stderr
    assert (
        "5 of 8 rows can be trained on, 5 scores are new; rejected: duplicate 1, no_score 1, validity 1" in done.stderr
    )
    table = tomllib.loads(done.stdout)
    assert table["objective"]["components"][0] == {
        "kind": "imported",
        "scores": "pic50",
        "transform": {"kind": "linear", "low": 4.0, "high": 9.0},
    }
    again = ingested(molbuffer, tmp_path, *options)
    assert "has this file already: nothing was added (5 rows can be trained on)" in again.stderr

    text = tiny_config.read_text()
    objective = text[text.index("[objective]") : text.index("[[filters]]")]
    tiny_config.write_text(text.replace(objective, done.stdout + "\n").replace("batch_size = 16", "batch_size = 4"))
    assert any("were imported, and nothing computes them" in said for said in warnings_of(load_settings(tiny_config)))
    large = ("--set", "offline.batch_size=6", "--set", "buffer.selection=consume_once")
    short = molbuffer("offline", tiny_config, "--store", tmp_path / "lab", *large)
    # The same command would end so again, and nothing is resumed.
    assert short.returncode == 1 and "--resume" not in short.stderr.split("failed")[-1]
    assert "5 stored rows have a reward by imported:pic50; import more, or lower offline.batch_size" in short.stderr
    trained = molbuffer("offline", tiny_config, "--store", tmp_path / "lab", "--json")
    assert trained.returncode == 0, trained.stderr
    result = json.loads(trained.stdout)
    assert (result["rows"], result["iterations"]) == (5, 3)
    (said,) = [each for each in result["report"]["notes"] if "fresh draws" in each]
    assert said == "no fresh draws: nothing computes imported:pic50, which was imported"


def test_values_that_are_no_rewards_and_half_a_transform_are_refused(
    molbuffer: Command, tmp_path: Path, small_prior: Path
) -> None:
    done = ingested(molbuffer, tmp_path, "--policy", small_prior)
    assert done.returncode == 1 and "from 5 to 8.5, and rewards are in [0, 1]" in done.stderr
    assert "expected --low and --high together" in ingested(molbuffer, tmp_path, "--low", "4").stderr
    assert "expected different scores" in ingested(molbuffer, tmp_path, "--low", "4", "--high", "4").stderr
    falling = ingested(molbuffer, tmp_path, "--low", "9", "--high", "4", "--policy", small_prior)
    assert tomllib.loads(falling.stdout)["objective"]["components"][0]["transform"] == {
        "kind": "reverse_sigmoid",
        "low": 4.0,
        "high": 9.0,
        "steepness": 0.5,
    }


def test_a_named_objective_of_imported_scores_is_their_component(tiny_config: Path) -> None:
    text = tiny_config.read_text()
    objective = text[text.index("[objective]") : text.index("[[filters]]")]
    tiny_config.write_text(text.replace(objective, '[objective]\nnamed = "imported:theirs"\n'))
    (component,) = load_settings(tiny_config).objective.components
    assert (component.kind, component.scores) == ("imported", "theirs")


def test_a_data_set_is_written_and_its_options_are_its_own(
    molbuffer: Command, scored_store: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "data"
    done = molbuffer(
        "export", "--store", scored_store, "--as", "huggingface", "--out", out, "--license", "mit", "--json"
    )
    assert json.loads(done.stdout)["rows"] == {"molecules": 32, "samples": 32}
    assert 'license: "mit"' in (out / "README.md").read_text()
    wrong = {
        "expected --as to be one of minari, huggingface": ["--as", "csv"],
        "leave --format and --molecules out": ["--as", "minari", "--molecules"],
        "--objective does not apply to --as huggingface": ["--as", "huggingface", "--objective", "a"],
        "--license does not apply to --as minari": ["--as", "minari", "--license", "mit"],
        "apply only to a data set": ["--license", "mit"],
    }
    for said, options in wrong.items():
        refused = molbuffer("export", "--store", scored_store, "--out", tmp_path / "other.csv", *options)
        assert refused.returncode == 1 and said in refused.stderr, options
    with pytest.raises(FileNotFoundError):
        (tmp_path / "other.csv").stat()


def test_an_export_to_minari_names_its_objective(molbuffer: Command, scored_store: Path, tmp_path: Path) -> None:
    pytest.importorskip("h5py", reason="pip install 'molbuffer[minari]'")
    pytest.importorskip("minari", reason="pip install 'molbuffer[minari]'")
    (tmp_path / "sets").mkdir()
    out = tmp_path / "sets" / "tiny-v1"
    done = molbuffer("export", "--store", scored_store, "--as", "minari", "--out", out, "--objective", "tiny", "--json")
    written = json.loads(done.stdout)
    assert (written["episodes"], written["dataset_id"]) == (32, "sets/tiny-v1")
    assert (out / "data" / "main_data.hdf5").is_file()
