import gzip
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from molbuffer.samplers.errors import SmilesFileError
from molbuffer.samplers.files.text_files import FileRow, read_smiles_file

CSV = "name,smiles\nethanol,CCO\nempty,\namine,CCN\n"


@pytest.mark.parametrize("suffix", [".smi", ".smiles", ".txt", ".ism"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_with_names_and_blank_lines(tmp_path: Path, suffix: str, end: str) -> None:
    path = tmp_path / f"molecules.v2{suffix}"
    path.write_bytes(end.join(["CCO ethanol from the shelf", "", "CCN\tamine", "  C  "]).encode())
    assert read_smiles_file(path) == [FileRow(1, "CCO"), FileRow(3, "CCN"), FileRow(4, "C")]


@pytest.mark.parametrize("name", ["m.smi", "m.smi.gz", "m.csv", "m.csv.gz", "m.parquet"])
def test_every_format_holds_the_same_molecules(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith(".parquet"):
        pl.DataFrame({"smiles": ["CCO", None, "CCN"]}).write_parquet(path)
    else:
        content = ("CCO\n\nCCN\n" if ".smi" in name else CSV).encode()
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert [row.smiles for row in read_smiles_file(path)] == ["CCO", "CCN"]


@pytest.mark.parametrize("name", ["m.smi", "m.csv"])
def test_a_byte_order_mark_is_no_part_of_the_first_molecule(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("smiles\nCCO\n" if name == "m.csv" else "CCO\n", encoding="utf-8-sig")
    assert [row.smiles for row in read_smiles_file(path)] == ["CCO"]


@pytest.mark.parametrize("name", ["m.smi", "m.smi.gz", "m.csv", "m.parquet"])
def test_cxsmiles_are_read_alike_from_every_format(tmp_path: Path, name: str) -> None:
    """An extension between bars belongs to the molecule; other text after a blank is a name, which a table has not."""
    path = tmp_path / name
    texts = ["C[C@H](F)Cl |&1:1|", "C[C@H](F)Cl |a:1|", "CC(F)Cl |o1:1|", "CCC |Sg:n:1:n:ht|"]
    if name.endswith(".parquet"):
        pl.DataFrame({"smiles": texts}).write_parquet(path)
    else:
        lines = [f'"{text}"' for text in texts] if name.endswith(".csv") else [texts[0] + " name", *texts[1:]]
        content = "\n".join(["smiles", *lines]).encode()
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert [row.smiles for row in read_smiles_file(path)] == ["CC(F)Cl", "C[C@H](F)Cl", "CC(F)Cl", "CCC |Sg:n:1:n:ht|"]


def test_a_name_may_begin_with_a_bar(tmp_path: Path) -> None:
    (tmp_path / "m.smi").write_text("CCO |abs ethanol\n")
    assert [row.smiles for row in read_smiles_file(tmp_path / "m.smi")] == ["CCO"]


def test_a_column_may_be_named(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("smiles,product\nCCO,CCN\n")
    assert read_smiles_file(path, "product") == [FileRow(2, "CCN")]


def write(name: str, content: bytes) -> Callable[[Path], Path]:
    def into(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return into


def doubled_parquet(folder: Path) -> Path:
    columns = [pa.array(["CC"]), pa.array(["CCO"])]
    pq.write_table(pa.Table.from_arrays(columns, names=["smiles", "smiles"]), folder / "doubled.parquet")
    return folder / "doubled.parquet"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda folder: folder / "absent.smi", None),
        (lambda folder: folder / "absent.csv", None),
        (write("empty.smi", b""), None),
        (write("blank.smi", b"\n \n"), None),
        (write("empty.csv", b""), None),
        (write("header.csv", b"smiles\n"), None),
        (write("other.csv", b"name,weight\na,1\n"), "name, weight"),
        (write("doubled.csv", b"smiles,smiles\nCC,CCO\n"), "2 .*'smiles'"),
        (doubled_parquet, "2 .*'smiles'"),
        (write("garbage.smi", bytes(range(256))), None),
        (write("garbage.parquet", bytes(range(256))), None),
        (write("plain.smi.gz", b"CCO\n"), None),
        (write("cut.smi.gz", gzip.compress(b"CCO\n" * 50)[:-12]), None),
        (write("broken.smi.gz", gzip.compress(b"CCO\n")[:12] + b"\xff" * 30), None),
        (write("molecules.sdf", b"CCO\n"), r"\.smi"),
        (write("molecules", b"CCO\n"), r"\.smi"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, make: Callable[[Path], Path], reason: str | None) -> None:
    path = make(tmp_path)
    with pytest.raises(SmilesFileError, match=reason) as caught:
        read_smiles_file(path)
    assert str(path) in str(caught.value)
