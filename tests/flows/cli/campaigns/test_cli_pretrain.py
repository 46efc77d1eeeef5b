"""``molbuffer pretrain`` as a user runs it: a file of molecules, a store."""

import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from molbuffer.flows.cli import app
from molbuffer.flows.errors import UsageError
from molbuffer.kinds.errors import BrokenKindError, SourceError
from molbuffer.samplers.errors import ModelSizeError, SmilesFileError, UnknownModelKindError
from molbuffer.storage.errors import RunConflictError, UnknownPolicyError

Command = Callable[..., Any]
MOLECULES = Path(__file__).parents[3] / "data" / "molecules.smi"
QUICK = ("--epochs", "2", "--decay-epochs", "1", "--batch-size", "16", "--draws", "50", "--json")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pretrain") / "lab"


@pytest.fixture(scope="module")
def prior(store: Path, molbuffer: Command) -> dict[str, Any]:
    sizes = ("--layers", "1", "--hidden-size", "24", "--embedding-size", "8")
    done = molbuffer("pretrain", MOLECULES, "--store", store, *QUICK, *sizes, "--prefect")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_a_prior_is_trained_judged_and_registered(prior: dict[str, Any], store: Path, molbuffer: Command) -> None:
    assert prior["held_out_nll"] > 0
    assert 0 <= prior["validity"] <= 1
    drawn = molbuffer("sample", prior["policy"], "-n", "5", "--store", store)
    assert len(drawn.stdout.splitlines()) == 5
    sql = "SELECT kind, parent_sha256, weights_kept FROM policies"
    assert json.loads(molbuffer("query", "--store", store, sql, "--format", "json").stdout) == [
        {"kind": "gru", "parent_sha256": None, "weights_kept": True}
    ]


def test_a_training_goes_on_from_a_policy_with_its_vocabulary(
    prior: dict[str, Any], store: Path, tmp_path: Path, molbuffer: Command
) -> None:
    more = tmp_path / "more.smi"
    more.write_text(MOLECULES.read_text() + "C[Se]C\n")
    options = ("--from", prior["policy"], "--precision", "bfloat16", "--dropout", "0.1")
    done = molbuffer("pretrain", more, "--store", store, *QUICK, *options)
    assert done.returncode == 0, done.stderr
    tuned = json.loads(done.stdout)
    assert "line 63: 'C[Se]C': " in done.stderr and "'[Se]'" in done.stderr
    assert tuned["rejected"] == prior["rejected"] + 1
    assert tuned["held_out_nll"] < prior["held_out_nll"]
    sql = "SELECT parent_sha256 FROM policies WHERE sha256 = '{}'".format(tuned["policy"])
    rows = json.loads(molbuffer("query", "--store", store, sql, "--format", "json").stdout)
    assert rows == [{"parent_sha256": prior["policy"]}]
    # What was gained and forgotten stands beside it, in the store as well.
    assert tuned["held_out_nll"] < tuned["held_out_nll_before"]
    assert tuned["forgetting"] == pytest.approx(tuned["old_nll"] - tuned["old_nll_before"])
    assert 0 <= tuned["validity_before"] <= 1
    sql = f"SELECT value FROM metrics WHERE run_id = '{tuned['run_id']}' AND name = 'forgetting'"
    assert json.loads(molbuffer("query", "--store", store, sql, "--format", "json").stdout) == [
        {"value": tuned["forgetting"]}
    ]
    assert done.stderr.splitlines()[-1] == f"run {tuned['run_id']} is finished"
    of_run = molbuffer("pretrain", more, "--store", store, *QUICK, "--from", f"run:{tuned['run_id'][:9]}")
    assert json.loads(of_run.stdout)["held_out_nll_before"] == pytest.approx(tuned["held_out_nll"])


def test_a_transformer_is_trained_and_goes_on(store: Path, molbuffer: Command) -> None:
    sizes = ("--layers", "1", "--hidden-size", "16", "--size", "heads=2")
    done = molbuffer("pretrain", MOLECULES, "--store", store, *QUICK, "--model", "transformer", *sizes)
    assert done.returncode == 0, done.stderr
    first = json.loads(done.stdout)
    done = molbuffer("pretrain", MOLECULES, "--store", store, *QUICK, "--from", first["policy"], "--dropout", "0.1")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["held_out_nll"] < first["held_out_nll"]
    drawn = molbuffer("sample", first["policy"], "-n", "3", "--store", store)
    assert len(drawn.stdout.splitlines()) == 3
    rows = json.loads(molbuffer("query", "--store", store, "SELECT kind FROM policies", "--format", "json").stdout)
    assert sorted(row["kind"] for row in rows)[-2:] == ["transformer", "transformer"]


@pytest.mark.parametrize("architecture", ["gru", "transformer"])
def test_a_vae_is_trained_and_says_what_it_gives_back(store: Path, molbuffer: Command, architecture: str) -> None:
    sizes = ("--hidden-size", "16", "--embedding-size", "8", "--size", "latent_size=4", "--size", "encoder_size=8")
    options = ("--size", "geometry=spherical", "--loss", "warmup_steps=5", "--loss", "beta=0.5")
    options += ("--size", f"architecture={architecture}")
    done = molbuffer("pretrain", MOLECULES, "--store", store, *QUICK, "--model", "vae", *sizes, *options)
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert 0 <= made["reconstruction"] <= 1 and made["drawn"] == 50 and made["held_out_nll"] > 0
    sql = f"SELECT value FROM metrics WHERE run_id = '{made['run_id']}' AND name = 'reconstruction'"
    assert json.loads(molbuffer("query", "--store", store, sql, "--format", "json").stdout) == [
        {"value": made["reconstruction"]}
    ]
    assert len(molbuffer("sample", made["policy"], "-n", "3", "--store", store).stdout.splitlines()) == 3


def test_a_conditional_model_is_trained_on_pairs_and_judged_on_sources_it_has_not_seen(
    store: Path, tmp_path: Path, molbuffer: Command
) -> None:
    molecules = [line.split()[0] for line in MOLECULES.read_text().splitlines() if line]
    rows = "".join(f"{source},{target}\n" for source, target in pairwise(molecules))
    pairs = tmp_path / "pairs.csv"
    pairs.write_text(f"before,after\nCCO,C1\nCCO,OCC\n{rows}")
    columns = ("--source-column", "before", "--target-column", "after")
    sizes = ("--hidden-size", "16", "--size", "heads=2", "--size", "encoder_layers=1", "--size", "decoder_layers=1")
    done = molbuffer("pretrain", pairs, "--store", store, *QUICK, "--model", "seq2seq", *columns, *sizes)
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert "line 2: " in done.stderr and "line 3: " in done.stderr, "no molecule, and the source again"
    assert made["pairs"] > 20 and made["rejected"] >= 2 and 1 <= made["drawn"] <= made["pairs"] // 10
    assert {"validity", "uniqueness", "within_similarity", "min_similarity", "max_similarity"} <= set(made)
    done = molbuffer("pretrain", pairs, "--store", store, *QUICK, "--from", made["policy"], *columns)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["held_out_nll"] < made["held_out_nll"]
    done = molbuffer("sample", made["policy"], "--store", store)
    assert done.returncode == 1 and "sources" in done.stderr


REFUSED = [
    (("--model", "bert"), UnknownModelKindError, "'bert'", "gru, lstm, seq2seq, transformer, vae"),
    (("--model", "absent_module:Model"), SourceError, "absent_module"),
    (("--model", "json:JSONDecoder"), BrokenKindError, "json:JSONDecoder", "GenerativeModel"),
    (("--model", "huggingface"), ModelSizeError, "'huggingface'", "start from its folder"),
    (
        ("--model", "transformer", "--embedding-size", "64"),
        ModelSizeError, "'transformer'", "embedding_size", "hidden_size, layers, heads, dropout",
    ),
    (("--model", "transformer", "--hidden-size", "30"), ModelSizeError, "hidden_size 30", "heads 4"),
    (("--size", "heads=4"), ModelSizeError, "'gru'", "heads", "embedding_size, hidden_size, layers"),
    (("--model", "transformer", "--size", "heads=2.5"), ModelSizeError, "heads", "'transformer'", "int"),
    (("--size", "heads"), UsageError, "--size NAME=VALUE", "'heads'"),
    (("--from", "zinc-gru", "--model", "lstm"), UsageError, "--from", "model"),
    (("--model", "seq2seq", "--column", "smiles"), SmilesFileError, "'seq2seq'", "source_column", "target_column"),
    (("--source-column", "before"), SmilesFileError, "'gru'", "column"),
    (("--from", "zinc-gru", "--size", "heads=4"), UsageError, "--from", "heads"),
    (("--model", "vae", "--size", "geometry=flat"), ModelSizeError, "geometry", "normal, spherical", "'flat'"),
    (("--model", "vae", "--size", "architecture=cnn"), ModelSizeError, "architecture", "gru, transformer", "'cnn'"),
    (("--loss", "beta=0.1"), ModelSizeError, "'gru'", "beta"),
    (("--model", "vae", "--loss", "beta=-1"), ModelSizeError, "beta", ">= 0"),
    (("--model", "vae", "--loss", "beta=much"), ModelSizeError, "beta", "'vae'", "'much'"),
    (("--from", "zinc-gru", "--layers", "3"), UsageError, "--from", "layers"),
    (("--from", "zinc-grü"), UnknownPolicyError, "'zinc-grü'", "zinc-gru, zinc-pairs, zinc-vae", "no store yet"),
]  # fmt: skip
"""Options, the error that they are refused with, and the names and values in it."""


def test_what_a_model_cannot_be_is_refused(tmp_path: Path, refused: Callable[..., BaseException]) -> None:
    for options, kind, *named in REFUSED:
        error = refused("pretrain", MOLECULES, "--store", tmp_path / "s", *options)
        assert isinstance(error, kind), (options, type(error))
        assert [text for text in named if text not in str(error)] == [], options
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--model", "nope"), "unknown model kind 'nope'"),
        (("--model", "transformer", "--size", "heads=3"), "sizes of 'transformer'"),
        (("--model", "models_of_test:Nope"), "has no attribute 'Nope'"),
        (("--model", "vae", "--loss", "gamma=1"), "the loss of 'vae' has no gamma"),
        (("--from", "zinc-gru", "--loss", "beta=1"), "the loss of 'gru' has no beta"),
        (("--from", "zinc-gro"), "did you mean `zinc-gru`?"),
        (("--column", "other"), "has no column 'other'"),
        (("--model", "seq2seq"), "expected a name that ends in .csv"),
        (("--source-column", "a"), "learns molecules, not pairs"),
    ],
)
def test_what_cannot_be_is_refused_before_a_run_is_named_and_a_server_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], expected: str
) -> None:
    (tmp_path / "models_of_test.py").write_text("")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["pretrain", str(MOLECULES), "--store", "s", *options])
    assert (result.exit_code, result.stdout) == (1, "")
    assert expected in result.stderr
    assert re.match("error: ", result.stderr) and len(result.stderr.splitlines()) == 1, result.stderr
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--epochs", "3"), "settings: the run has {"),
        (("--hidden-size", "32"), "sizes: the run has {"),
        (("--model", "lstm", "--hidden-size", "24"), "model: the run has 'gru', now it is 'lstm'"),
    ],
)
def test_another_request_is_no_resumption(
    prior: dict[str, Any], store: Path, refused: Callable[..., BaseException], options: tuple[str, ...], expected: str
) -> None:
    sizes = ("--layers", "1", "--embedding-size", "8")
    error = refused("pretrain", MOLECULES, "--store", store, *QUICK, *sizes, *options, "--resume", prior["run_id"])
    assert isinstance(error, RunConflictError)
    assert expected in str(error)


def test_a_file_without_molecules_makes_no_store(tmp_path: Path, molbuffer: Command) -> None:
    empty = tmp_path / "empty.smi"
    empty.write_text("")
    done = molbuffer("pretrain", empty, "--store", tmp_path / "s")
    assert done.returncode == 1
    assert str(empty) in done.stderr
    assert not (tmp_path / "s").exists()


def test_a_model_that_learns_selfies_draws_smiles(store: Path, molbuffer: Command) -> None:
    sizes = ("--layers", "1", "--hidden-size", "16", "--embedding-size", "8")
    done = molbuffer("pretrain", MOLECULES, "--store", store, *QUICK, *sizes, "--grammar", "selfies")
    assert done.returncode == 0, done.stderr
    prior = json.loads(done.stdout)
    # Whatever tokens an untrained model draws, they are a molecule, save for a draw that ends at once.
    assert prior["validity"] > 0.9
    drawn = molbuffer("sample", prior["policy"], "-n", "5", "--store", store).stdout
    assert drawn.count("[") < len(drawn) / 4
