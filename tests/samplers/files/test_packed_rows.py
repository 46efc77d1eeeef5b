"""Rows of files at random access: the same texts and lines in every format, and nothing of them in memory."""

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from molbuffer.samplers.errors import SmilesFileError
from molbuffer.samplers.files import packed_rows, text_files
from molbuffer.samplers.files.packed_rows import open_rows
from molbuffer.samplers.files.text_files import read_columns

WORDS = st.text(
    st.characters(codec="utf-8", exclude_characters="\x00\r\n", exclude_categories=["Cc", "Zs"]), max_size=9
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MOLBUFFER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@given(rows=st.lists(st.tuples(WORDS, WORDS), max_size=12), block=st.integers(1, 5), seed=st.integers(0, 9))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_format_gives_the_rows_that_were_written_and_their_lines(
    tmp_path: Path, rows: list[tuple[str, str]], block: int, seed: int
) -> None:
    table = pl.DataFrame({"name": ["x"] * len(rows), "a": [a for a, _ in rows], "b": [b for _, b in rows]},
                         schema=dict.fromkeys(("name", "a", "b"), pl.String))  # fmt: skip
    table.write_csv(tmp_path / "t.csv")
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress((tmp_path / "t.csv").read_bytes()))
    table.write_parquet(tmp_path / "t.parquet", row_group_size=3)
    filled = [(number, a.strip(), b.strip()) for number, (a, b) in enumerate(rows, 1) if a.strip() or b.strip()]
    order = np.random.default_rng(seed).permutation(len(filled))
    for name, first in [("t.csv", 2), ("t.csv.gz", 2), ("t.parquet", 1)]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(text_files, "BLOCK_ROWS", block)
            packed_rows._open.cache_clear()
            if not filled:
                with pytest.raises(SmilesFileError, match=name):
                    open_rows(tmp_path / name, ["a", "b"])
                continue
            opened = open_rows(tmp_path / name, ["a", "b"])
        assert len(opened) == len(filled)
        one, other = opened.take(order)
        assert list(zip(opened.lines(order), one, other, strict=True)) == [
            (filled[at][0] + first - 1, *filled[at][1:]) for at in order.tolist()
        ]


IDS = {
    "t.csv": "ID;Smiles\nA 1;CCO\n;CCN\nB;\n C ;CCC\n",
    "t.tsv": "Smiles\tID\nCCO\tA 1\nCCN\n\tB\nCCC\t C\n",
    "t.smi": "CCO A 1\nCCN\n\nCCC\tC\n",
    "t.parquet": "",
}


@pytest.mark.parametrize("name", IDS)
def test_rows_are_named_by_the_id_column_and_stay_the_rows_that_they_are_without_it(tmp_path: Path, name: str) -> None:
    if name == "t.parquet":
        texts = {"smiles": ["CCO", "CCN", "", "CCC"], "id": ["A 1", None, "B", " C"]}
        pl.DataFrame(texts).write_parquet(tmp_path / name)
    else:
        (tmp_path / name).write_text(IDS[name])
    column = "name" if name == "t.smi" else "id"
    plain, named = open_rows(tmp_path / name, [None]), open_rows(tmp_path / name, [None], column)
    every = np.arange(3)
    assert (len(plain), len(named)) == (3, 3)
    assert named.take(every) == plain.take(every) == (["CCO", "CCN", "CCC"],)
    assert named.lines(every) == plain.lines(every)
    assert (named.ids(every), plain.ids(every)) == (["A 1", None, "C"], [None, None, None])
    assert named.ids(np.array([2, 0])) == ["C", "A 1"]


def test_numbers_of_parquet_are_ids_too_and_an_id_column_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    pl.DataFrame({"smiles": ["CCO", "CCN"], "n": [17, None]}).write_parquet(tmp_path / "t.parquet")
    assert open_rows(tmp_path / "t.parquet", ["smiles"], "n").ids(np.arange(2)) == ["17", None]
    for name, text in {"t.csv": "smiles,n\nCCO,1\n", "t.smi": "CCO 1\n", "t.parquet": None}.items():
        if text is not None:
            (tmp_path / name).write_text(text)
        with pytest.raises(SmilesFileError, match=r"no column 'ID'"):
            open_rows(tmp_path / name, [None], "ID")


def test_a_record_of_several_lines_does_not_shift_those_after_it(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('smiles,note\nCCO,"two\nlines"\nCCN,\n\nCCC\n')
    (block,) = read_columns(tmp_path / "t.csv", [None])
    assert (list(block.lines), list(block.columns[0])) == ([2, 4, 6], ["CCO", "CCN", "CCC"])


def test_a_row_with_more_fields_than_the_header_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("name,smiles\nethanol,CCO\n1,2-dichloroethane,ClCCCl\n")
    with pytest.raises(SmilesFileError, match="line 3"):
        list(read_columns(tmp_path / "t.csv", [None]))


def test_a_file_of_lines_has_no_pairs(tmp_path: Path) -> None:
    (tmp_path / "t.smi").write_text("CCO CCN\n")
    with pytest.raises(SmilesFileError, match=r"\.csv"):
        list(read_columns(tmp_path / "t.smi", ["source", "target"]))


def test_a_file_is_read_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.smi"
    path.write_text("CCO\n")
    first = open_rows(path, [None])
    assert open_rows(path, [None]) is first
    path.write_text("CCO\nCCN\n")
    assert len(open_rows(path, [None])) == 2
    assert first.take(np.array([0, 0])) == (["CCO", "CCO"],)


def test_the_unpacked_copy_leaves_nothing_behind(tmp_path: Path, own_cache: Path) -> None:
    (tmp_path / "m.smi").write_text("CCO\n")
    opened = open_rows(tmp_path / "m.smi", [None])
    assert list(own_cache.iterdir()) == []
    assert opened.take(np.array([0])) == (["CCO"],)


def test_a_cache_folder_that_is_none_is_told(tmp_path: Path, own_cache: Path) -> None:
    (tmp_path / "m.smi").write_text("CCO\n")
    own_cache.write_text("a file")
    with pytest.raises(SmilesFileError, match="MOLBUFFER_CACHE"):
        open_rows(tmp_path / "m.smi", [None])


MEMORY = """
import resource, sys
import numpy as np
from pathlib import Path
from molbuffer.samplers.files.packed_rows import open_rows
path = Path(sys.argv[1])
open_rows(path.with_name("small.smi"), [None])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
opened = open_rows(path, [None])
opened.take(np.arange(0, len(opened), 1000))
print(len(opened), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_long_file_takes_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "long.smi"
    row = b"C" * 99 + b"\n"
    with path.open("wb") as file:
        for _ in range(40):
            file.write(row * 10_000)
    (tmp_path / "small.smi").write_bytes(row)
    n, kilobytes = map(int, subprocess.check_output([sys.executable, "-c", MEMORY, path], text=True).split())
    assert n == 400_000
    # The file has 40 MB, and as Python strings it would take 60 MB at least.
    assert kilobytes < 35_000
