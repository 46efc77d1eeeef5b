"""Every command decides the format of a file in one way, before it works; what is written comes back."""

import gzip
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from molbuffer.flows.cli.common.formats import EVERY, Format, chosen_format
from molbuffer.flows.cli.common.output import table
from molbuffer.flows.errors import UsageError
from molbuffer.storage import SampleStore

SQL = "SELECT smiles, reward FROM sample_history ORDER BY smiles LIMIT 5"
READERS: dict[str, Callable[[bytes], pl.DataFrame]] = {
    ".csv": pl.read_csv,
    ".tsv": lambda text: pl.read_csv(text, separator="\t"),
    ".json": pl.read_json,
    ".jsonl": pl.read_ndjson,
    ".ndjson": pl.read_ndjson,
    ".parquet": lambda content: pl.read_parquet(io.BytesIO(content)),
    ".smi": lambda text: pl.DataFrame({"smiles": text.decode().split()}),
}
UNKNOWN = ["rows.xlsx", "rows.csv.zip", "rows.doc", "rows", "rows.parquet.gz", "rows.gz", "rows.csv.bz2", ".csv"]


@pytest.mark.parametrize("name", [*(f"rows{ending}" for ending in READERS), "ROWS.CSV", "rows.csv.gz", "rows.smi.gz"])
def test_what_is_written_comes_back(
    scored_store: Path, tmp_path: Path, molbuffer: Callable[..., Any], name: str
) -> None:
    done = molbuffer("query", "--store", scored_store, SQL, "--out", tmp_path / name)
    assert done.returncode == 0, done.stderr
    content = (tmp_path / name).read_bytes()
    ending = name.lower().removeprefix("rows").removesuffix(".gz")
    frame = READERS[ending](gzip.decompress(content) if name.endswith(".gz") else content)
    smiles = [f"{'C' * n}" for n in range(1, 6)]
    assert frame["smiles"].to_list() == smiles
    if ending != ".smi":
        assert_frame_equal(frame, pl.DataFrame({"smiles": smiles, "reward": [n / 20 for n in range(5)]}))


@pytest.mark.parametrize("name", [*(f"rows{ending}" for ending in READERS), "rows.csv.gz", "rows.tsv.gz", "rows.txt"])
def test_an_export_has_every_format_that_other_commands_have(
    scored_store: Path, tmp_path: Path, molbuffer: Callable[..., Any], name: str
) -> None:
    done = molbuffer("export", "--molecules", "--store", scored_store, "--out", tmp_path / name)
    assert done.returncode == 0, done.stderr
    content = (tmp_path / name).read_bytes()
    content = gzip.decompress(content) if name.endswith(".gz") else content
    with SampleStore.open(scored_store, read_only=True) as store:
        best = store.best_molecules(50)
    reader = READERS.get(name.removeprefix("rows").removesuffix(".gz"))
    if reader is None:
        header, *rows = content.decode().splitlines()
        assert header.split() == best.columns
        assert [row.split()[0] for row in rows[1:]] == best["smiles"].to_list()
    else:
        found = reader(content)
        assert_frame_equal(found, best.select(found.columns), check_dtypes=False)


@pytest.mark.parametrize("command", ["query", "score", "pairs", "sample", "export"])
@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_ending_is_refused_before_any_work(
    tmp_path: Path, molbuffer: Callable[..., Any], command: str, name: str
) -> None:
    # Nothing that they name is there: work would end otherwise.
    store = ("--store", tmp_path / "none")
    arguments = {
        "query": (*store, SQL),
        "score": (tmp_path / "none.smi", "--config", tmp_path / "none.toml"),
        "pairs": (tmp_path / "none.smi",),
        "sample": ("none",),
        "export": store,
    }[command]
    done = molbuffer(command, *arguments, "--out", tmp_path / name)
    assert (done.returncode, name in done.stderr, ".csv" in done.stderr) == (1, True, True)
    assert not (tmp_path / name).exists()


def test_a_given_format_counts_more_than_the_ending() -> None:
    assert chosen_format(Format.JSON, Path("rows.csv")) is Format.JSON
    assert chosen_format(Format.CSV, Path("rows.xlsx")) is Format.CSV
    assert chosen_format(None, None) is Format.TABLE
    assert chosen_format(None, Path("rows.txt"), of_text=Format.SMILES) is Format.SMILES


@pytest.mark.parametrize(
    ("form", "out"), [(Format.PARQUET, None), (Format.PARQUET, "rows.gz"), (Format.SMILES, None), (None, "rows.smi")]
)
def test_rows_that_cannot_have_a_format_are_refused(form: Format | None, out: str | None) -> None:
    with pytest.raises(UsageError):
        chosen_format(form, None if out is None else Path(out), allowed=EVERY - {Format.SMILES})


def test_rows_without_molecules_are_no_list_of_them(
    scored_store: Path, tmp_path: Path, molbuffer: Callable[..., Any]
) -> None:
    done = molbuffer("query", "--store", scored_store, "SELECT 1 AS one", "--out", tmp_path / "rows.smi")
    assert (done.returncode, "smiles" in done.stderr, "one" in done.stderr) == (1, True, True)


def test_an_error_of_the_system_says_what_to_do(
    scored_store: Path, tmp_path: Path, molbuffer: Callable[..., Any]
) -> None:
    done = molbuffer("query", "--store", scored_store, SQL, "--out", tmp_path / f"{'x' * 300}.csv")
    assert (done.returncode, "shorter" in done.stderr) == (1, True)


def test_a_table_for_people_gives_the_terminal_no_orders() -> None:
    shown = table(["name\x1b[2J"], [["run\x1b]0;title\x07\x9b31m\ud800"], ["zwei\nZeilen, ä"]])
    assert "name\\x1b[2J" in shown
    assert "run\\x1b]0;title\\x07\\x9b31m\\ud800" in shown
    assert shown.endswith("zwei\n  Zeilen, ä")
