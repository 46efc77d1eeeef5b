from molbuffer.samplers.files.text_files import FileRow
from molbuffer.samplers.tokens.vocabulary import RESERVED, Vocabulary
from molbuffer.training.pretraining.corpus import clean_molecules


def rows(*smiles: str) -> list[FileRow]:
    return [FileRow(line, text) for line, text in enumerate(smiles, 2)]


def test_distinct_molecules_are_kept_as_canonical_smiles_in_the_files_order() -> None:
    clean = clean_molecules(rows("OCC", "CCN", "C(O)C", "CCN"))
    assert clean.smiles == ["CCO", "CCN"]
    assert clean.duplicates == 2 and not clean.rejected


def test_bad_rows_are_reported_with_line_and_smiles() -> None:
    clean = clean_molecules(rows("CCO", "CC(", "CCBr"), Vocabulary((*RESERVED, "C", "O")))
    assert clean.smiles == ["CCO"] and clean.duplicates == 0
    assert [(row.line, row.smiles) for row in clean.rejected] == [(3, "CC("), (4, "CCBr")]
    assert str(clean.rejected[0]) == "line 3: 'CC(': is no molecule"
    assert "'Br'" in str(clean.rejected[1]) and str(clean.rejected[1]).startswith("line 4: 'CCBr'")


def test_salts_are_cut_down_to_their_largest_fragment() -> None:
    assert clean_molecules(rows("CCCCN.Cl")).smiles == ["CCCCN"]
