"""``molbuffer score`` and ``molbuffer sample`` on real molecules and the bundled policy."""

import re
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from typer.testing import CliRunner

from molbuffer.flows.cli import app
from molbuffer.flows.errors import UsageError
from molbuffer.samplers.errors import SmilesFileError, UnknownPolicyNameError
from molbuffer.scoring import standardise_smiles
from molbuffer.storage import SampleStore

CONFIG = """
[[objective.components]]
kind = "qed"

[[objective.components]]
kind = "python"
name = "assay"
function = "MODULE:activity"
transform = { kind = "linear", low = 0, high = 10 }

[[filters]]
kind = "property"
name = "molecular_weight"
max = 200

[[samplers]]
kind = "model"
name = "live"
buffer_size = 1
"""
ASSAY = """
def activity(smiles):
    with open(__file__ + ".calls", "a") as calls:
        calls.write(smiles + "\\n")
    if "Cl" in smiles:
        raise RuntimeError("the plate broke")
    return 5
"""
OURS = [
    "line", "smiles", "molecule", "rejected_by", "reward",
    "raw_qed", "transformed_qed", "raw_assay", "transformed_assay", "error",
]  # fmt: skip


@pytest.fixture
def assay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module of the user's that keeps count of its calls; a name of its own, since modules are imported once."""
    module = tmp_path / f"assay_{tmp_path.name}.py"
    module.write_text(ASSAY)
    monkeypatch.syspath_prepend(tmp_path)
    return module


@pytest.fixture
def config(tmp_path: Path, assay: Path) -> Path:
    (tmp_path / "campaign.toml").write_text(CONFIG.replace("MODULE", assay.stem))
    return tmp_path / "campaign.toml"


@pytest.fixture
def molecules_file(tmp_path: Path) -> Path:
    path = tmp_path / "molecules.smi"
    path.write_text("OCC ethanol\nnonsense\n\nCCO\nCCCl\nCCCCCCCCCCCCCCCCCCCC\n")
    return path


def invoke(*arguments: str | Path) -> str:
    """What a command says on standard error when all is well."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stderr


def test_score_says_of_every_line_what_it_is_worth_or_why_not(
    config: Path, molecules_file: Path, tmp_path: Path
) -> None:
    said = invoke("score", molecules_file, "--config", config, "--out", tmp_path / "scores.csv")
    frame = pl.read_csv(tmp_path / "scores.csv")
    assert frame.columns == [*OURS, "name"]
    assert frame["name"].to_list() == ["ethanol", None, None, None, None]
    assert frame["line"].to_list() == [1, 2, 4, 5, 6]
    assert frame["molecule"].to_list() == ["CCO", None, "CCO", "CCCl", "C" * 20]
    assert frame["rejected_by"].to_list() == [None, "validity", None, None, "molecular_weight"]
    assert frame["transformed_assay"].to_list() == [0.5, None, 0.5, None, 0.5]
    ethanol = frame.row(0, named=True)
    assert ethanol["reward"] == pytest.approx((ethanol["raw_qed"] * 0.5) ** 0.5)
    assert frame["reward"].is_null().to_list() == [False, True, False, True, False]
    assert frame["error"].to_list()[3] == "assay: RuntimeError: the plate broke"
    assert said.startswith("5 lines: 3 kept, mean reward ")
    assert said.endswith(", 1 of them without a reward (see error); refused by molecular_weight 1, validity 1\n")


def test_a_score_that_the_store_knows_is_not_computed_again(
    config: Path, assay: Path, molecules_file: Path, tmp_path: Path
) -> None:
    for out in ("one.parquet", "two.parquet"):
        invoke("score", molecules_file, "--config", config, "--store", tmp_path / "lab", "--out", tmp_path / out)
    assert_frame_equal(pl.read_parquet(tmp_path / "one.parquet"), pl.read_parquet(tmp_path / "two.parquet"))
    # The good ones are computed once more at the start of the second run, to compare them; the failed one is not.
    assert sorted(Path(f"{assay}.calls").read_text().split()) == ["C" * 20, "C" * 20, "CCCl", "CCO", "CCO"]
    with SampleStore.open(tmp_path / "lab", read_only=True) as store:
        runs = store.query("SELECT r.name, r.kind, e.status FROM runs r JOIN run_events e USING (run_id)").sort(
            "status"
        )
        assert runs.rows() == [
            ("score molecules.smi", "score", s) for s in ("finished", "finished", "started", "started")
        ]
        scores = (
            store.query("SELECT component, status, run_id IS NOT NULL AS known FROM scores").group_by(pl.all()).len()
        )
        assert sorted(scores.rows()) == [("assay", "failed", True, 1), ("assay", "ok", True, 2), ("qed", "ok", True, 3)]


def test_a_value_that_has_no_worth_without_a_transform_is_named(
    config: Path, molecules_file: Path, tmp_path: Path
) -> None:
    kept = [line for line in config.read_text().splitlines() if "transform" not in line]
    config.write_text("\n".join(["[campaign]", "max_failed_share = 1.0", *kept]))
    said = invoke("score", molecules_file, "--config", config, "--out", tmp_path / "scores.csv")
    frame = pl.read_csv(tmp_path / "scores.csv")
    assert frame["reward"].null_count() == 5
    ethanol, nonsense, ethanol_again, chloride, chain = frame["error"].to_list()
    assert (nonsense, ethanol_again) == (None, ethanol)
    assert all(error.startswith("assay: ") for error in (ethanol, chloride, chain))
    assert ("5.0" in ethanol, "5.0" in chain, "the plate broke" in chloride) == (True, True, True)
    # Before it may stand what is logged.
    *_, told = said.splitlines()
    assert re.findall(r"\d+", told)[:3] == ["5", "3", "3"], "lines, kept, without a reward"


@pytest.mark.parametrize("out", ["nowhere/scores.csv", "."])
def test_nothing_is_scored_for_a_file_that_cannot_be_written(
    out: str, config: Path, assay: Path, molecules_file: Path, tmp_path: Path, refused: Callable[..., BaseException]
) -> None:
    error = refused("score", molecules_file, "--config", config, "--out", tmp_path / out)
    assert isinstance(error, UsageError)
    assert f"--out {tmp_path / out} " in str(error)
    assert not Path(f"{assay}.calls").exists()


def test_a_file_that_cannot_be_scored_is_one_message(
    config: Path, tmp_path: Path, refused: Callable[..., BaseException]
) -> None:
    (tmp_path / "table.csv").write_text("name\nethanol\n")
    for file in (tmp_path / "table.csv", tmp_path / "nowhere.smi", tmp_path / "molecules.sdf"):
        error = refused("score", file, "--config", config)
        assert isinstance(error, SmilesFileError)
        assert str(file) in str(error)


def test_sample_draws_the_same_molecules_for_one_seed(tmp_path: Path) -> None:
    def draw(*more: str | Path) -> str:
        result = CliRunner().invoke(app, ["sample", "zinc-gru", "-n", "20", *map(str, more)])
        assert result.exit_code == 0, result.output
        return result.stdout

    one = draw("--seed", "3").splitlines()
    assert len(one) == 20
    assert one != draw("--seed", "4").splitlines()
    assert draw("--seed", "3", "--out", tmp_path / "drawn.csv") == ""
    frame = pl.read_csv(tmp_path / "drawn.csv")
    assert frame["smiles"].to_list() == one
    assert frame["molecule"].to_list() == [standardise_smiles(text) for text in one]
    assert (frame["log_likelihood"] < 0).all()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["no-such-policy"], ("'no-such-policy'", "zinc-gru, zinc-pairs, zinc-vae")),
        (["zinc-gru", "--temperature", "0"], ("--temperature > 0", "got 0 ")),
        (["zinc-gru", "--temperature", "nan"], ("--temperature > 0", "got nan ")),
        (["zinc-gru", "--top-p", "1.5"], ("--top-p in (0, 1]", " 1.5")),
    ],
)
def test_what_cannot_be_drawn_is_one_message(
    arguments: list[str], expected: tuple[str, ...], refused: Callable[..., BaseException]
) -> None:
    error = refused("sample", *arguments)
    assert isinstance(error, UnknownPolicyNameError if arguments == ["no-such-policy"] else UsageError)
    assert [text for text in expected if text not in str(error)] == []


def test_a_file_whose_scores_mostly_fail_is_written_and_said_to_have_failed(
    config: Path, assay: Path, molecules_file: Path, tmp_path: Path
) -> None:
    assay.write_text("def activity(smiles):\n    raise RuntimeError('the plate broke')\n")
    arguments = ["score", molecules_file, "--config", config, "--out", tmp_path / "scores.csv"]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert (result.exit_code, "the plate broke" in result.stderr) == (1, True)
    assert pl.read_csv(tmp_path / "scores.csv")["reward"].null_count() == 5


TABLE = """;ID;Smiles;reward;note;note;reward_input
1;007;OCC;1,50;"two
lines";a;x
2;1e3;nonsense;;" b ";;y
3;9;;0;lost;;z
4;NA;CCO
"""


@pytest.mark.parametrize("out", ["scores.csv", "scores.parquet"])
def test_the_columns_of_a_table_come_back_as_they_are_written(config: Path, tmp_path: Path, out: str) -> None:
    (tmp_path / "table.csv").write_text(TABLE)
    invoke("score", tmp_path / "table.csv", "--config", config, "--out", tmp_path / out)
    read = (
        pl.read_parquet(tmp_path / out) if out.endswith(".parquet") else pl.read_csv(tmp_path / out, infer_schema=False)
    )
    theirs = ["column_1", "ID", "reward_input", "note", "note_input", "reward_input_input"]
    assert read.columns == [*OURS, *theirs]
    assert read["molecule"].to_list() == ["CCO", None, "CCO"]
    assert read.select(theirs).rows() == [
        ("1", "007", "1,50", "two\nlines", "a", "x"),
        ("2", "1e3", None, " b ", None, "y"),
        ("4", "NA", None, None, None, None),
    ]


def test_the_columns_of_a_parquet_file_keep_their_types(config: Path, tmp_path: Path) -> None:
    frame = pl.DataFrame({"id": [7, 8, 9], "SMILES": ["OCC", None, "CCN"], "error": [0.5, 1.5, None]})
    frame.write_parquet(tmp_path / "table.parquet")
    invoke("score", tmp_path / "table.parquet", "--config", config, "--out", tmp_path / "scores.parquet")
    read = pl.read_parquet(tmp_path / "scores.parquet")
    assert read.columns == [*OURS, "id", "error_input"]
    assert read.select("line", "id", "error_input").rows() == [(1, 7, 0.5), (3, 9, None)]


def test_scores_are_scored_again_without_losing_a_column(config: Path, molecules_file: Path, tmp_path: Path) -> None:
    invoke("score", molecules_file, "--config", config, "--out", tmp_path / "one.csv")
    invoke("score", tmp_path / "one.csv", "--config", config, "--out", tmp_path / "two.csv")
    one, two = (pl.read_csv(tmp_path / name, infer_schema=False) for name in ("one.csv", "two.csv"))
    kept = [f"{name}_input" for name in OURS if name != "smiles"]
    assert two.columns == [*OURS, *kept, "name"]
    assert_frame_equal(
        two.select(*kept, "name"),
        one.drop("smiles").rename(dict(zip(one.drop("smiles", "name").columns, kept, strict=True))),
    )
