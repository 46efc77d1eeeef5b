import logging
from pathlib import Path

import pytest

from molbuffer.samplers.builds.bad_rows import REPORTED_ROWS, report_bad_rows, report_rejected, report_rows
from molbuffer.samplers.builds.build import make_build
from molbuffer.samplers.builds.build_spec import BuildSpec
from molbuffer.samplers.builds.judging import Pipeline
from molbuffer.samplers.dataset import DatasetSampler
from molbuffer.samplers.pair_dataset import PairDatasetSampler
from molbuffer.samplers.scores.scorer import Scorer
from molbuffer.samplers.tokens.vocabulary import RESERVED, Vocabulary
from molbuffer.scoring import Objective, Standardisation, WeightedComponent, judge_pairs
from molbuffer.scoring.components import QED
from molbuffer.storage.records import Event


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


def test_a_row_that_is_too_long_is_named_with_its_beginning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "molecules.smi"
    path.write_text("CO\n" + "C" * 50_000 + "\n")
    report_bad_rows(str(path), [None], Vocabulary((*RESERVED, "C", "O")))
    (record,) = caplog.records
    assert "line 2" in record.getMessage() and "max_length" in record.getMessage()
    assert len(record.getMessage()) < 1_000


def test_many_rows_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        report_rows("file", list(range(REPORTED_ROWS + 5)))
    assert len(caplog.records) == REPORTED_ROWS + 1
    assert caplog.records[-1].getMessage() == "file: 5 further rows were left out"


@pytest.mark.parametrize("rows", [3, 5])
def test_later_rows_are_named_when_they_are_drawn(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr("molbuffer.samplers.files.file_sampler.CHECKED_ROWS", 3)
    path = tmp_path / "100%.smi"
    path.write_text("\n".join(["C(", "CO", "", "CCO", "OC(", "CN"][: rows + 1]) + "\n")
    vocabulary = Vocabulary((*RESERVED, "(", "C", "O"))
    sampler = DatasetSampler("file", path, vocabulary)
    spec = BuildSpec("run", 0, Event.BUILD_BUFFER, sampler_order=0, wanted=4 * rows, campaign_seed=1)
    objective = Objective((WeightedComponent(QED()),))
    pipeline = Pipeline(
        Standardisation(), (), Scorer(objective), expressible=vocabulary.can_encode, seen=lambda _: set()
    )
    with caplog.at_level(logging.WARNING):
        samples = make_build(sampler, spec, pipeline).samples
    named = sorted(record.getMessage() for record in caplog.records)
    later = [f"{path}, line 5: 'OC(' is rejected by 'validity'", f"{path}, line 6: 'CN' is rejected by 'vocabulary'"]
    assert named == (later if rows > 3 else [])
    assert samples.raw.count("C(") > 1, "also in a build that goes through the file more than once"


def test_pairs_are_named_with_the_line_that_they_are_in(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("molbuffer.samplers.files.file_sampler.CHECKED_ROWS", 1)
    path = tmp_path / "pairs.csv"
    path.write_text("source,target\nC,CO\nC(,CO\nC,C(\nC,CC\n")
    vocabulary = Vocabulary((*RESERVED, "(", "C", "O"))
    drawn = PairDatasetSampler("pairs", path, vocabulary).draw(4, seed=1)
    with caplog.at_level(logging.WARNING):
        report_rejected(drawn, judge_pairs(drawn.raw, drawn.source_smiles, (), None, Standardisation()))
    assert sorted(record.getMessage() for record in caplog.records) == [
        f"{path}, line 3: 'CO' is rejected by 'source'",
        f"{path}, line 4: 'C(' is rejected by 'validity'",
    ]
