"""R19: molecules of a file as samples, without a likelihood; and what damaged files lead to."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from molbuffer.samplers.base import encode_rows
from molbuffer.samplers.builds.bad_rows import report_bad_rows
from molbuffer.samplers.dataset import DatasetSampler
from molbuffer.samplers.errors import SmilesFileError
from molbuffer.samplers.files.text_files import FileRow, read_smiles_file
from molbuffer.samplers.pair_dataset import PairDatasetSampler
from molbuffer.samplers.tokens.vocabulary import END, PAD, RESERVED, Vocabulary


@pytest.fixture
def path(tmp_path: Path, molecules: list[str]) -> Path:
    path = tmp_path / "molecules.smi"
    path.write_text("\n".join(molecules))
    return path


def test_without_replacement_every_row_comes_once_before_any_comes_again(
    path: Path, molecules: list[str], vocabulary: Vocabulary
) -> None:
    sampler = DatasetSampler("data", path, vocabulary)
    some = sampler.draw(10, seed=1)
    assert len(set(some.raw)) == 10
    twice = sampler.draw(2 * len(molecules), seed=1).raw
    assert sorted(twice[: len(molecules)]) == sorted(twice[len(molecules) :]) == sorted(molecules)
    assert twice[: len(molecules)] != twice[len(molecules) :], "each epoch has an order of its own"
    assert list(sampler.draw(10, seed=1).raw) == list(some.raw)
    assert list(sampler.draw(10, seed=2).raw) != list(some.raw)


def test_with_replacement_any_number_is_drawn(path: Path, molecules: list[str], vocabulary: Vocabulary) -> None:
    sampler = DatasetSampler("data", path, vocabulary, replacement=True)
    drawn = sampler.draw(20 * len(molecules), seed=1)
    assert len(drawn) == 20 * len(molecules)
    assert set(drawn.raw) == set(molecules)
    assert len(sampler.draw(0, seed=1)) == 0


def test_r19_rows_are_encoded_without_a_likelihood(path: Path, vocabulary: Vocabulary) -> None:
    drawn = DatasetSampler("data", path, vocabulary).draw(12, seed=3)
    assert vocabulary.decode(drawn.rows.tokens, drawn.rows.lengths) == list(drawn.raw)
    inside = np.arange(drawn.rows.tokens.shape[1]) < drawn.rows.lengths[:, None]
    assert np.isnan(drawn.rows.log_probs[inside]).all()
    assert (drawn.rows.log_probs[~inside] == 0).all()
    assert drawn.rows.log_probs.dtype == np.float32


def test_r8_a_row_with_an_unknown_token_has_no_length() -> None:
    vocabulary = Vocabulary((*RESERVED, "C", "O"))
    rows = encode_rows(["CO", "CSC", "C?", "C"], vocabulary)
    assert rows.lengths.tolist() == [3, 0, 0, 2]
    assert rows.tokens.tolist() == [[3, 4, END], [PAD] * 3, [PAD] * 3, [3, END, PAD]]
    assert np.isnan(rows.log_probs).tolist() == [[True] * 3, [False] * 3, [False] * 3, [True, True, False]]
    nothing = encode_rows(["S", "?"], vocabulary)
    assert nothing.lengths.tolist() == [0, 0]
    assert (nothing.tokens == PAD).all()


SPELLINGS = {
    "[CH3][CH2][OH]": "CCO",
    "CC[NH1]C": "CCNC",
    "[H]OCC": "CCO",
    "C%10CCCCC%10": "C1CCCCC1",
    "[CH3:1]O": "CO",
    "C[C@H](O)N": "C[C@H](O)N",
    "OCC": "OCC",
    "CCBr": "CCBr",
    "C(": "C(",
}
"""Texts of a file, and the forms in which they are drawn: the vocabulary has no brackets, % and Br."""


def test_r8_a_text_that_a_policy_cannot_express_is_drawn_in_canonical_form(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    small = Vocabulary((*RESERVED, "C", "O", "N", "1", "("))
    path = tmp_path / "spellings.smi"
    path.write_text("\n".join(SPELLINGS))
    drawn = DatasetSampler("data", path, small).draw(len(SPELLINGS), seed=1)
    assert sorted(drawn.raw) == sorted(SPELLINGS.values())
    expressible = [small.can_encode(text) for text in drawn.raw]
    assert (drawn.rows.lengths > 0).tolist() == expressible
    report_bad_rows(str(path), [None], small)
    reported = [record.getMessage() for record in caplog.records]
    assert len(reported) == 3, "only what is drawn and then rejected is reported"


@pytest.mark.parametrize("largest", [False, True])
def test_salts_of_a_file_are_cut_down_on_request(tmp_path: Path, largest: bool) -> None:
    vocabulary = Vocabulary((*RESERVED, "C", "O", "(", ")", "=", "[O-]", "[Na+]", "."))
    table, path = tmp_path / "pairs.csv", tmp_path / "salts.smi"
    path.write_text("[Na+].[O-]C(C)=O\nOCC\n")
    table.write_text("source,target\n[Na+].[O-]C(C)=O,C.OCC\n")
    drawn = DatasetSampler("data", path, vocabulary, largest_fragment=largest).draw(2, seed=1)
    assert set(drawn.raw) == ({"CC(=O)[O-]", "OCC"} if largest else {"[Na+].[O-]C(C)=O", "OCC"})
    pairs = PairDatasetSampler("pairs", table, vocabulary, largest_fragment=largest).draw(1, seed=1)
    expected = ("CC(=O)[O-]", "CCO") if largest else ("CC(=O)[O-].[Na+]", "C.OCC")
    assert (pairs.source_smiles, pairs.raw) == ([expected[0]], [expected[1]])


def test_a_header_is_no_molecule_and_lines_are_counted_with_it(tmp_path: Path) -> None:
    (tmp_path / "a.smi").write_bytes(b"\xef\xbb\xbfSMILES name\r\nCCO one\r\nCC two\r\n")
    assert read_smiles_file(tmp_path / "a.smi") == [FileRow(2, "CCO"), FileRow(3, "CC")]
    (tmp_path / "a.SMI").write_text("C\n")
    assert read_smiles_file(tmp_path / "a.SMI") == [FileRow(1, "C")]


@pytest.mark.parametrize("damage", ["cut off", "flipped"])
@pytest.mark.parametrize("name", ["a.smi.gz", "a.csv.gz"])
def test_damaged_compression_is_named(tmp_path: Path, name: str, damage: str) -> None:
    whole = gzip.compress(b"smiles\n" + b"".join(b"C" * (i % 97) + b"\n" for i in range(5000)))
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes(byte ^ 0xFF for byte in whole[middle : middle + 20]) + whole[middle + 20 :]
    path = tmp_path / name
    path.write_bytes({"cut off": whole[:middle], "flipped": flipped}[damage])
    with pytest.raises(SmilesFileError) as caught:
        read_smiles_file(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["folder.smi", "folder.csv", "folder.parquet"])
def test_a_folder_is_no_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(SmilesFileError, match=name):
        read_smiles_file(tmp_path / name)
