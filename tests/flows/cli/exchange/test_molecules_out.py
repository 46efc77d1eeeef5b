"""Molecules leave the commands as tables with their components and as SD files, and rows of any type in any format."""

import gzip
import io
import json
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from rdkit import Chem

from molbuffer.flows.cli.common.formats import Format
from molbuffer.flows.cli.common.output import write_frame
from molbuffer.flows.errors import UsageError
from molbuffer.lab.provenance import objective_definition
from molbuffer.scoring import components
from molbuffer.scoring.objective import Objective, WeightedComponent
from molbuffer.scoring.transforms import Sigmoid
from molbuffer.storage import SampleStore
from molbuffer.storage.records import Commit, Run, RunKind, Score

Molbuffer = Callable[..., Any]
QED = [0.4, 0.5, None]


@pytest.fixture(scope="module")
def lab(scored_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scored store, with scores of the best three molecules of its objective, which has another component, too."""
    import shutil

    path = shutil.copytree(scored_template, tmp_path_factory.mktemp("out") / "lab")
    logp = components.Property("logp", "logp")
    with SampleStore.open(path) as store:
        old = store.run("a")
        objective = Objective((WeightedComponent(components.QED()), WeightedComponent(logp, 2.0, Sigmoid(0, 4))))
        definition = objective_definition(objective)
        # As if the first run had had this definition.
        run = Run(
            "b" * 32, "more", RunKind.SCORE, "{}", 0, objective_sha256=old.objective_sha256, definition=definition
        )
        store.start_run(run)
        best = ["C" * 16, "C" * 16 + "O", "C" * 15]
        scores = [
            Score(text, "qed", components.QED().version, value) for text, value in zip(best, QED, strict=True) if value
        ]
        store.commit(Commit(scores=[*scores, Score(best[0], "logp", logp.version, 2.0)], run_id=run.run_id))
    return path


def sdf_of(content: bytes) -> list[Chem.Mol]:
    return list(Chem.ForwardSDMolSupplier(io.BytesIO(content)))


def test_top_and_export_have_the_same_molecules_with_their_components(
    lab: Path, tmp_path: Path, molbuffer: Molbuffer
) -> None:
    for name in ("top.csv", "top.parquet", "top.sdf.gz"):
        assert molbuffer("top", "--store", lab, "-n", "50", "--out", tmp_path / name).returncode == 0
    for name in ("all.csv", "all.parquet", "all.sdf", "all.sdf.gz"):
        done = molbuffer("export", "--molecules", "--store", lab, "--out", tmp_path / name)
        assert (done.returncode, "rows      32" in done.stdout) == (0, True), done.stdout
    best = pl.read_parquet(tmp_path / "top.parquet")
    assert best.height == 32
    assert best.columns[:6] == ["smiles", "reward", "raw_qed", "transformed_qed", "raw_logp", "transformed_logp"]
    top = best.filter(pl.col("smiles").is_in(["C" * 16, "C" * 16 + "O", "C" * 15])).select(best.columns[1:6])
    assert top.rows() == [(0.75, 0.4, 0.4, 2.0, 0.5), (0.75, 0.5, 0.5, None, None), (0.7, None, None, None, None)]
    for name in ("top.csv", "all.csv"):
        assert pl.read_csv(tmp_path / name).equals(best)
    assert pl.read_parquet(tmp_path / "all.parquet").equals(best)
    files = [
        (tmp_path / "all.sdf").read_bytes(),
        *(gzip.decompress((tmp_path / f"{name}.sdf.gz").read_bytes()) for name in ("top", "all")),
    ]
    assert files[0] == files[1] == files[2]
    molecules = sdf_of(files[0])
    assert [Chem.MolToSmiles(each) for each in molecules] == best["smiles"].to_list()
    assert molecules[0].GetPropsAsDict()["transformed_logp"] == 0.5
    assert set(molecules[-1].GetPropNames()) == {*best.columns} - {*best.columns[2:6]}


def test_the_table_of_top_has_one_column_for_a_component(lab: Path, molbuffer: Molbuffer) -> None:
    header, _, first, second, *_ = molbuffer("top", "--store", lab).stdout.splitlines()
    assert header.split() == ["smiles", "reward", "qed", "logp", "run_name", "sampler", "iteration", "objective_sha256"]
    assert first.split()[:6] == ["C" * 16, "0.75", "0.4", "2", "(0.5)", "tiny"]
    assert second.split()[:4] == ["C" * 16 + "O", "0.75", "0.5", "tiny"]
    done = molbuffer("top", "--store", lab, "--json", "--out", "x.csv")
    assert (done.returncode, "--json" in done.stderr) == (1, True)
    assert len(json.loads(molbuffer("top", "--store", lab, "--json").stdout)[0]["objective_sha256"]) == 64
    assert molbuffer("top", "--store", lab, "--format", "sdf", "-n", "1").stdout.endswith("$$$$\n")


def test_the_long_form_can_be_queried(lab: Path, molbuffer: Molbuffer) -> None:
    sql = "SELECT component, transformed_value, weight, status FROM molecule_scores WHERE smiles = 'CCCCCCCCCCCCCCCC'"
    rows = json.loads(molbuffer("query", "--store", lab, f"{sql} ORDER BY position", "--format", "json").stdout)
    assert [list(row.values()) for row in rows] == [["qed", 0.4, 1.0, "ok"], ["logp", 0.5, 2.0, "ok"]]


def test_rows_without_a_molecule_are_left_out_of_sd_files_and_counted(
    lab: Path, tmp_path: Path, molbuffer: Molbuffer, tiny_config: Path
) -> None:
    sql = "SELECT unnest(['CCO', NULL, 'C(', '']) AS smiles, 'x' AS name"
    done = molbuffer("query", "--store", lab, sql, "--out", tmp_path / "rows.sdf")
    assert (done.returncode, "3 rows without a molecule" in done.stderr) == (0, True)
    (molecule,) = sdf_of((tmp_path / "rows.sdf").read_bytes())
    assert (molecule.GetProp("_Name"), molecule.GetProp("smiles")) == ("x", "CCO")
    done = molbuffer("query", "--store", lab, "SELECT 1 AS one", "--out", tmp_path / "none.sdf")
    assert (done.returncode, "smiles" in done.stderr, (tmp_path / "none.sdf").exists()) == (1, True, False)

    (tmp_path / "own.smi").write_text("CCO ethanol\nC(\n")
    done = molbuffer("score", tmp_path / "own.smi", "--config", tiny_config, "--out", tmp_path / "scores.sdf")
    assert (done.returncode, "1 row without" in done.stderr) == (0, True)
    (molecule,) = sdf_of((tmp_path / "scores.sdf").read_bytes())
    assert (molecule.GetProp("_Name"), molecule.GetProp("line"), molecule.HasProp("raw_qed")) == ("ethanol", "1", 1)

    done = molbuffer("sample", "zinc-gru", "-n", "8", "--out", tmp_path / "drawn.sdf")
    assert done.returncode == 0, done.stderr
    assert 0 < len(sdf_of((tmp_path / "drawn.sdf").read_bytes())) <= 8
    done = molbuffer("pairs", tmp_path / "own.smi", "--out", tmp_path / "pairs.sdf")
    assert (done.returncode, "pairs.sdf" in done.stderr) == (1, True)


NOW, LONG = datetime(2020, 1, 2, 3, 4, 5, 6), timedelta(days=1, hours=2, microseconds=3)
COLUMNS: dict[str, tuple[pl.Series, str]] = {
    # A value and a null, and the text of the value in CSV and in JSON.
    "null": (pl.Series([None, None]), ""),
    "bool": (pl.Series([True, None]), "true"),
    "i128": (pl.Series([2**100, None], dtype=pl.Int128), str(2**100)),
    "u64": (pl.Series([2**64 - 1, None], dtype=pl.UInt64), str(2**64 - 1)),
    "f64": (pl.Series([0.1, None]), "0.1"),
    "decimal": (pl.Series([Decimal("1.20"), None]), "1.20"),
    "categorical": (pl.Series(["a", None], dtype=pl.Categorical), "a"),
    "enum": (pl.Series(["a", None], dtype=pl.Enum(["a"])), "a"),
    "date": (pl.Series([date(2020, 1, 2), None]), "2020-01-02"),
    "time": (pl.Series([1, None]).cast(pl.Time), "00:00:00.000000001"),
    "datetime_ns": (pl.Series([1577934245123456789, None]).cast(pl.Datetime("ns")), "2020-01-02T03:04:05.123456789"),
    "datetime_tz": (pl.Series([NOW, None], dtype=pl.Datetime("us", "UTC")), "2020-01-02T03:04:05.000006"),
    "duration_ms": (pl.Series([LONG, None], dtype=pl.Duration("ms")), "P1DT2H"),
    "duration_us": (pl.Series([LONG, None], dtype=pl.Duration("us")), "P1DT2H0.000003S"),
    "duration_ns": (pl.Series([-5, None]).cast(pl.Duration("ns")), "-PT0.000000005S"),
    "binary": (pl.Series([b"\x00\xff", None]), "00ff"),
    "list": (pl.Series([[LONG], None]), "P1DT2H0.000003S"),
    "array": (pl.Series([[1, 2], None], dtype=pl.Array(pl.Int64, 2)), "[1, 2]"),
    "struct": (pl.Series([{"t": time(1, 2), "d": LONG}, None]), "P1DT2H0.000003S"),
}


@pytest.mark.parametrize("form", Format)
@pytest.mark.parametrize("kind", COLUMNS)
def test_rows_of_every_type_have_every_format(tmp_path: Path, kind: str, form: Format) -> None:
    values, text = COLUMNS[kind]
    write_frame(pl.DataFrame({"smiles": ["C", "N"], "value": values}), form, tmp_path / "rows", exact=True)
    content = (tmp_path / "rows").read_bytes()
    if form is Format.PARQUET:
        assert pl.read_parquet(io.BytesIO(content))["value"].equals(values, check_names=False)
    elif form is not Format.SMILES and kind not in ("bool", "datetime_tz"):
        assert text in content.decode()


def test_objects_of_python_are_refused(tmp_path: Path) -> None:
    frame = pl.DataFrame({"odd": pl.Series([object()], dtype=pl.Object)})
    for form in Format:
        with pytest.raises(UsageError, match="odd"):
            write_frame(frame, form, tmp_path / "rows")


@pytest.mark.parametrize("option", ["--run", "--objective"])
def test_the_name_of_nothing_is_an_error_and_no_empty_table(lab: Path, molbuffer: Molbuffer, option: str) -> None:
    done = molbuffer("top", "--store", lab, option, "zz")
    assert (done.returncode, done.stdout, "'zz'" in done.stderr) == (1, "", True)
