import logging
from pathlib import Path

import pytest

from flows.row_reports import REPORTED_ROWS, report_bad_rows, report_rows
from samplers.vocabulary import RESERVED, Vocabulary


def test_r8_rows_that_a_policy_cannot_express_are_named_with_their_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "molecules.smi"
    path.write_text("SMILES name\nCO methanol\nC[Se]C selenide\nCN amine\n")
    with caplog.at_level(logging.WARNING):
        report_bad_rows(str(path), [None], Vocabulary((*RESERVED, "C", "O")))
    first, second = (record.getMessage() for record in caplog.records)
    assert first.startswith(f"{path}, line 3: 'C[Se]C': the policy's vocabulary lacks the token '[Se]'")
    assert second.startswith(f"{path}, line 4: 'CN': the policy's vocabulary lacks the token 'N'")


def test_many_rows_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        report_rows("file", list(range(REPORTED_ROWS + 5)))
    assert len(caplog.records) == REPORTED_ROWS + 1
    assert caplog.records[-1].getMessage() == "file: 5 further rows were left out"
