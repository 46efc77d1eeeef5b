import csv
import gzip
import io
import pickle
import shlex
import subprocess
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from molbuffer.samplers.errors import SmilesFileError
from molbuffer.samplers.files.text_files import FileRow, read_molecule_table, read_smiles_file

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
        path.write_bytes(gzip.compress(content, mtime=0) if name.endswith(".gz") else content)
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
        path.write_bytes(gzip.compress(content, mtime=0) if name.endswith(".gz") else content)
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
        (write("cut.smi.gz", gzip.compress(b"CCO\n" * 50, mtime=0)[:-12]), None),
        (write("broken.smi.gz", gzip.compress(b"CCO\n", mtime=0)[:12] + b"\xff" * 30), None),
        (write("molecules.sdf", b"CCO\n"), r"\.smi"),
        (write("molecules", b"CCO\n"), r"\.smi"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, make: Callable[[Path], Path], reason: str | None) -> None:
    path = make(tmp_path)
    with pytest.raises(SmilesFileError, match=reason) as caught:
        read_smiles_file(path)
    assert str(path) in str(caught.value)


SMILES = ["CCO", "CC(C)O", "c1ccccc1"]
NAMES = ["plain", "propan-2-ol, dry; 5|6", "a\ttab"]


def table(delimiter: str, end: str = "\n", *, trailing: bool = False) -> str:
    """A table as Python's csv module writes it, with each delimiter in a quoted field."""
    text = io.StringIO()
    rows = [["", "ID", "Smiles", "Name"], *map(list, zip("123", "abc", SMILES, NAMES, strict=True))]
    csv.writer(text, delimiter=delimiter, lineterminator=end).writerows([[*row, *[""] * trailing] for row in rows])
    return text.getvalue()


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("name", ["m.csv", "m.TSV", "M.CSV.GZ"])
def test_tables_with_any_delimiter_and_line_end(tmp_path: Path, delimiter: str, end: str, name: str) -> None:
    content = table(delimiter, end).encode()
    (tmp_path / name).write_bytes(gzip.compress(content, mtime=0) if name.endswith("GZ") else content)
    found = read_molecule_table(tmp_path / name)
    assert found.rows == [FileRow(2, SMILES[0]), FileRow(3, SMILES[1]), FileRow(4, SMILES[2])]
    assert found.others.column_names == ["", "ID", "Name"]
    assert found.others["Name"].to_pylist() == NAMES


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("smiles\nCCO\n\nCCN\n", [(2, "CCO"), (4, "CCN")]),
        ("smiles\nCCC |Sg:n:1,2:n:ht|\n", [(2, "CCC |Sg:n:1,2:n:ht|")]),
        ("SMILES\n", None),
        ('"smiles"\n"CCO"\n', [(2, "CCO")]),
        ("\n# from the shelf, 2024\n#\nid;smiles\n#1;CCO\n", [(5, "CCO")]),
        (";;\n;;\n;id;smiles\n;1;CCO\n", [(4, "CCO")]),
        ("sep=|\nid|smiles\n1|CCO\n", [(3, "CCO")]),
        (" smiles ;activity\nCCO;0,5\nCCN;1,5\n", [(2, "CCO"), (3, "CCN")]),
        ("name,smiles\nacid\nethanol,CCO\n", [(3, "CCO")]),
        ("smiles,name,\nCCO,a,\nCCN,b,\n", [(2, "CCO"), (3, "CCN")]),
        ("smiles,name\nCCO,a,\nCCN,b,\n", [(2, "CCO"), (3, "CCN")]),
        ('name;smiles\n"two\nlines; one field";CCO\nx;CCN\n', [(2, "CCO"), (4, "CCN")]),
        ("smiles\tnames\nCCO\ta,b,c\nCCN\td,e,f\n", [(2, "CCO"), (3, "CCN")]),
        ("canonical_smiles,SMILES\nCCO,OCC\n", [(2, "OCC")]),
        ("id,Canonical_Smiles\n1,CCO\n", [(2, "CCO")]),
    ],
)
@pytest.mark.parametrize("name", ["m.csv", "m.tsv"])
def test_tables_as_people_have_them(tmp_path: Path, name: str, text: str, rows: list[tuple[int, str]] | None) -> None:
    (tmp_path / name).write_text(text)
    if rows is None:
        with pytest.raises(SmilesFileError):
            read_smiles_file(tmp_path / name)
    else:
        assert read_smiles_file(tmp_path / name) == [FileRow(*row) for row in rows]


def test_delimiters_at_the_ends_of_lines_make_no_column(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(";smiles;id;\n1;CCO;a;\n2;CCN;b;\n")
    assert read_molecule_table(tmp_path / "m.csv").others.to_pydict() == {"": ["1", "2"], "id": ["a", "b"]}


@pytest.mark.parametrize("column", ["Product", "product", " PRODUCT "])
def test_a_named_column_is_found_in_any_case(tmp_path: Path, column: str) -> None:
    (tmp_path / "m.csv").write_text("smiles,Product\nCCO,CCN\n")
    assert read_smiles_file(tmp_path / "m.csv", column) == [FileRow(2, "CCN")]


def test_of_names_in_several_cases_the_exact_one_is_meant(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("SMILES,smiles\nCCO,CCN\n")
    assert read_smiles_file(tmp_path / "m.csv", "SMILES") == [FileRow(2, "CCO")]


def test_lines_have_comments_and_names(tmp_path: Path) -> None:
    (tmp_path / "m.smi").write_bytes(
        b"# drawn\r\nSMILES ID\r\nCCO  99 % ethanol \r\n#C\r\nC\r\nC[C@H](F)Cl |&1:1| both\r\n"
    )
    found = read_molecule_table(tmp_path / "m.smi")
    assert found.rows == [FileRow(3, "CCO"), FileRow(5, "C"), FileRow(6, "CC(F)Cl")]
    assert found.others.to_pydict() == {"name": ["99 % ethanol", None, "both"]}


def test_a_parquet_file_keeps_the_values_of_its_other_columns(tmp_path: Path) -> None:
    columns = [
        pa.array([1, 2, 3]),
        pa.array(["CCO", None, "CCN"]),
        pa.array([[0.5], [], None]),
        pa.array(["a", "b", "c"]),
    ]
    pq.write_table(pa.Table.from_arrays(columns, names=["n", "SMILES", "n", "text"]), tmp_path / "m.PARQUET")
    found = read_molecule_table(tmp_path / "m.PARQUET")
    assert found.rows == [FileRow(1, "CCO"), FileRow(3, "CCN")]
    assert [column.to_pylist() for column in found.others.columns] == [[1, 3], [[0.5], None], ["a", "c"]]


@pytest.mark.parametrize(
    ("values", "read"),
    [
        (pa.array([90, None], pa.duration("s")), ["0:01:30", None]),
        (pa.array([Decimal("1.50"), None], pa.decimal256(60, 2)), ["1.50", None]),
        (pa.array([b"a" * 16, None], pa.uuid()), [b"a" * 16, None]),
        (pa.array([b"a", None], pa.binary_view()), [b"a", None]),
        (pa.array(["a", None]).dictionary_encode(), ["a", None]),
        (pa.nulls(2), [None, None]),
    ],
)
def test_types_that_few_programs_know_become_those_that_all_do(
    tmp_path: Path, values: pa.Array, read: list[object]
) -> None:
    pq.write_table(pa.table({"smiles": ["C", "CC"], "value": values}), tmp_path / "m.parquet")
    (column,) = read_molecule_table(tmp_path / "m.parquet").others.columns
    assert column.to_pylist() == read
    assert pl.Series(column).to_list() == read


def test_a_column_that_cannot_come_back_is_named(tmp_path: Path) -> None:
    values = pa.array([[90], None], pa.list_(pa.duration("s")))
    pq.write_table(pa.table({"smiles": ["C", "CC"], "times": values}), tmp_path / "m.parquet")
    with pytest.raises(SmilesFileError, match="'times'"):
        read_molecule_table(tmp_path / "m.parquet")
    assert len(read_smiles_file(tmp_path / "m.parquet")) == 2


LINES = b"id,smiles\n" + b"".join(b"%d,CCO\n" % number for number in range(2, 5000))
"""A table of several blocks of bytes, whose ids are its line numbers."""


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("m.csv", table(",").encode("utf-16"), 1),
        ("m.csv", table(",").encode("utf-16-le"), 1),
        ("m.csv", table(",").encode("utf-16-be"), 1),
        ("m.smi", "CCO\n".encode("utf-32"), 1),
        ("m.smi.gz", gzip.compress("CCO\n".encode("utf-16"), mtime=0), 1),
        ("m.smi", "CCO ethanol\rCCN Stärke\r".encode("cp1252"), 2),
        ("m.csv", LINES.replace(b"\n4321,", b"\n4321\xe4,"), 4321),
        ("m.csv", LINES.replace(b"\n", b"\r\n").replace(b"\n4321,", b"\n4321\xe4,"), 4321),
        ("m.csv", LINES.replace(b"\n", b"\r").replace(b"\r4321,", b"\r4321\xe4,"), 4321),
        ("m.csv", LINES.replace(b"4321,", b"\x00\x00\x00\x00,"), 4321),
        ("m.csv.gz", gzip.compress(LINES.replace(b"4321,CCO", b"4321,\xff"), mtime=0), 4321),
        ("m.csv", LINES.replace(b"4321,", b'"4321" x,'), 4321),
        ("m.csv", LINES.replace(b"4321,", b'"4321,'), 4321),
        ("m.csv", LINES.replace(b"4321,", b"%s," % (b"x" * 200_000)), 4321),
        ("m.csv", LINES.replace(b"4321,", b"43,21,"), 4321),
        ("m.csv", b"smiles\nCCO\nCCN,amine\n", 3),
        ("m.csv", b"# a\nname,weight\na,1\n", 2),
        ("m.csv", b"smiles,Smiles\nCCO,CCN\n", 1),
        ("m.csv", b"name,smiles, smiles\na,CCO,CCN\n", 1),
        ("m.smi", b"#\nID SMILES\nA CCO\n", 2),
        ("m.txt", b"smiles,name\nCCO,ethanol\n", 1),
        ("m.smi", b"CCO\n" + b"C" * 2**25, 2),
        ("m.csv", b"PK\x03\x04" + bytes(range(256)), None),
        ("m.smi.gz", gzip.compress(b"PK\x03\x04rest", mtime=0), None),
        ("m.smi.gz", gzip.compress(gzip.compress(b"CCO\n", mtime=0), mtime=0), None),
        ("m.csv", gzip.compress(b"smiles\nCCO\n", mtime=0), None),
        ("m.csv", b"\xef\xbb\xbf\n<!DOCTYPE html>\n<html>smiles</html>", None),
        ("m.parquet", b"<html>smiles</html>", None),
        ("m.parquet", b"smiles\nCCO\n", None),
        ("m.csv", b"PAR1rest", None),
    ],
)  # fmt: skip
def test_what_is_no_such_text_is_refused_with_its_line(
    tmp_path: Path, name: str, content: bytes, line: int | None
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(SmilesFileError) as caught:
        read_smiles_file(path)
    assert (caught.value.path, caught.value.line) == (path, line), caught.value
    assert str(caught.value).startswith(str(path))
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
@pytest.mark.parametrize("compressed", [False, True])
def test_the_conversion_that_an_error_gives_makes_the_file_readable(
    tmp_path: Path, encoding: str, compressed: bool
) -> None:
    path, converted = tmp_path / f"it's.csv{'.gz' * compressed}", tmp_path / "converted.csv"
    content = "smiles,name\nCCO,Stärke\n".encode(encoding)
    path.write_bytes(gzip.compress(content, mtime=0) if compressed else content)
    with pytest.raises(SmilesFileError) as caught:
        read_smiles_file(path)
    command = caught.value.problem.partition("convert it by: ")[2].replace("FILE", shlex.quote(str(converted)))
    subprocess.run(command, shell=True, check=True)
    assert read_molecule_table(converted).others["name"].to_pylist() == ["Stärke"]


def test_a_file_of_lines_has_no_other_column_of_molecules(tmp_path: Path) -> None:
    (tmp_path / "m.smi").write_text("CCO CCN\n")
    assert read_smiles_file(tmp_path / "m.smi", "SMILES") == [FileRow(1, "CCO")]
    with pytest.raises(SmilesFileError):
        read_smiles_file(tmp_path / "m.smi", "product")
