"""Imports of files by other programs: what becomes of each row, and that imported scores are nobody else's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import molbuffer as mb
from molbuffer.exchange.errors import IngestError
from molbuffer.exchange.ingest.importing import IngestPlan, IngestReceipt, ingest_file
from molbuffer.exchange.ingest.molscore import molscore_columns
from molbuffer.exchange.ingest.reinvent import reinvent_columns
from molbuffer.lab import Judging, described_run
from molbuffer.samplers import SmilesFileError
from molbuffer.storage import RunKind, SampleStore

REINVENT = """Agent,Prior,Target,Score,SMILES,SMILES_state,QED,QED (raw),patterns (raw),step
3.1,3.1,35.6,0.30,CCO,1,0.9,0.41,[],1
3.1,3.1,35.6,0.00,not a molecule,0,0.0,0.0,[],1
3.1,3.1,35.6,0.50,CCN,1,0.9,0.45,[],1
3.1,3.1,-3.1,0.00,OCC,2,0.0,0.41,[],2
3.1,3.1,35.6,nan,CCC,1,0.9,,[],2
3.1,3.1,35.6,0.70,CCCC,1,0.9,0.52,[],2
"""
MOLSCORE = (
    ",model,task,step,batch_idx,absolute_time,smiles,valid,valid_score,unique,occurrences,desc_QED,raw_desc_QED,single,"
    """filter,filtered_single,passes_diversity_filter,score_time
0,rnn,qed,1,0,0.1,CCO,true,1,true,0,0.41,0.41,0.41,1.0,0.41,True,0.2
1,rnn,qed,1,1,0.1,CCN,true,1,true,0,0.45,0.45,0.45,1.0,0.0,False,0.2
"""
)


def ingested(lab: mb.Lab, path: Path, policy: mb.Policy, **plan: Any) -> IngestReceipt:
    given = {"form": "reinvent", "name": "theirs", "policy": policy, **plan}

    def made(run_id: str, title: str, config: str, objective: mb.Objective) -> Any:
        return described_run(run_id, title, RunKind.IMPORT, config, 0, objective=objective)

    return ingest_file(lab.store, path, IngestPlan(**given), made)


def written(folder: Path, text: str, name: str = "file.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_rows_of_reinvent_become_a_run_with_their_fates(lab: mb.Lab, policy: mb.Policy, tmp_path: Path) -> None:
    path = written(tmp_path, REINVENT)
    receipt = ingested(lab, path, policy)
    assert (receipt.rows, receipt.kept, receipt.contradictions) == (6, 3, 1)
    assert receipt.rejected == {"validity": 1, "duplicate": 1, "no_score": 1}
    (run,) = lab.runs().to_dicts()
    assert (run["kind"], run["status"], run["name"]) == ("import", "finished", "import file.csv")
    rows = lab.query(
        "SELECT iteration, raw, smiles, rejected_by, reward, file, file_line FROM sample_history ORDER BY file_line"
    ).rows()
    assert [row[:5] for row in rows] == [
        (0, "CCO", "CCO", None, 0.3),
        (0, "not a molecule", None, "validity", None),
        (0, "CCN", "CCN", None, 0.5),
        (1, "OCC", "CCO", "duplicate", None),
        (1, "CCC", "CCC", "no_score", None),
        (1, "CCCC", "CCCC", None, 0.7),
    ]
    assert [row[5:] for row in rows] == [(str(path), line) for line in range(2, 8)]
    scores = lab.query("SELECT component, smiles, value FROM scores ORDER BY ALL").rows()
    assert ("imported:theirs", "CCCC", 0.7) in scores and ("imported:theirs/QED", "CCO", 0.41) in scores
    assert receipt.scores == len(scores) == 6
    assert lab.query("SELECT count(*) AS n FROM molecule_scores WHERE raw_value = 0.7").item() == 1


def test_a_file_that_is_imported_again_adds_nothing(lab: mb.Lab, policy: mb.Policy, tmp_path: Path) -> None:
    first = ingested(lab, written(tmp_path, REINVENT), policy)
    before = lab.store.snapshot()
    again = ingested(lab, written(tmp_path, REINVENT, "copy.csv"), policy)
    assert again.repeated and (again.run_id, again.kept, again.scores) == (first.run_id, 3, 0)
    assert again.rejected == dict(first.rejected)
    assert lab.store.snapshot() == before
    other = ingested(lab, written(tmp_path, REINVENT + "1,1,1,0.9,CNC,1,1,1,[],3\n"), policy)
    assert not other.repeated and other.run_id != first.run_id
    # Of the molecules that both files have, the scores are stored once.
    assert other.scores == 2


def test_an_import_that_was_interrupted_is_gone_on_with(
    lab: mb.Lab, policy: mb.Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("molbuffer.exchange.ingest.rows.ROWS_TOGETHER", 2)
    path, commit = written(tmp_path, REINVENT), SampleStore.commit
    commits = 0

    def killed(self: SampleStore, parts: Any) -> Any:
        nonlocal commits
        receipt = commit(self, parts)
        commits += 1
        if commits == 3:
            raise KeyboardInterrupt
        return receipt

    monkeypatch.setattr(SampleStore, "commit", killed)
    with pytest.raises(KeyboardInterrupt):
        ingested(lab, path, policy)
    receipt = ingested(lab, path, policy)
    assert receipt.kept == 3 and not receipt.repeated
    assert lab.query("SELECT count(*) AS n FROM sample_history").item() == 6
    assert lab.query("SELECT count(*) AS n FROM scores").item() == 6


def test_imported_scores_are_not_taken_for_those_of_components(lab: mb.Lab, policy: mb.Policy, tmp_path: Path) -> None:
    """Even where the import has the name of a component."""
    ingested(lab, written(tmp_path, "smiles,value\nCCO,0.99\n"), policy, form="csv", name="qed")
    (row,) = lab.score(["CCO"], mb.Objective([mb.QED()])).to_dicts()
    assert row["raw_qed"] == mb.QED().values(["CCO"])[0].value != 0.99
    (row,) = lab.score(["CCO"], mb.Objective([mb.Imported("qed")])).to_dicts()
    assert row["reward"] == 0.99
    (row,) = lab.score(["CCN"], mb.Objective([mb.Imported("qed")])).to_dicts()
    assert row["reward"] is None and "no score of 'CCN' was imported as 'qed'" in row["error"]
    # It may still come, so that it has not failed for good.
    ingested(lab, written(tmp_path, "smiles,value\nCCN,0.5\n"), policy, form="csv", name="qed")
    assert lab.score(["CCN"], mb.Objective([mb.Imported("qed")]))["reward"].to_list() == [0.5]


def test_offline_training_learns_from_an_assay(lab: mb.Lab, policy: mb.Policy, tmp_path: Path) -> None:
    molecules = [f"{'C' * n}{end}" for n in range(1, 6) for end in ("O", "N")]
    lines = [f"{text},{4 + 0.4 * i}" for i, text in enumerate(molecules)]
    path = written(tmp_path, "\n".join(["Smiles,pIC50", *lines]))
    transform = mb.Linear(low=4, high=9)
    receipt = ingested(lab, path, policy, form="csv", name="assay", transform=transform)
    assert receipt.kept == 10
    objective = mb.Objective([mb.WeightedComponent(mb.Imported("assay"), transform=transform)])
    assert receipt.objective_sha256 == objective.sha256
    result = lab.offline("learn", objective=objective, steps=3, batch_size=4, policy=policy, seed=1)
    assert (result.iterations, result.rows) == (3, 10)
    # Another transform of the same scores needs no score to be computed.
    other = mb.Objective([mb.WeightedComponent(mb.Imported("assay"), transform=mb.Sigmoid(low=4, high=9))])
    relabelled = lab.offline(
        "again", objective=other, steps=1, batch_size=4, policy=policy, judging=Judging(relabel="cheap")
    )
    assert relabelled.rows == 10 and relabelled.report.relabelled.oracle_calls == 0


def test_a_score_out_of_range_asks_for_a_transform(lab: mb.Lab, policy: mb.Policy, tmp_path: Path) -> None:
    path = written(tmp_path, "smiles,pIC50\nCCO,6.5\nCCN,5\n")
    with pytest.raises(
        IngestError, match=r"'pIC50' are from 5 to 6\.5, and rewards are in .0, 1.: .* --low and --high"
    ):
        ingested(lab, path, policy, form="csv")
    assert len(lab.runs()) == 0


@pytest.mark.parametrize(
    ("text", "plan", "error", "said"),
    [
        ("", {}, SmilesFileError, "it has no line"),
        ("SMILES,Score,step\n", {}, SmilesFileError, "it holds no molecule"),
        ("molecule,Score\nCCO,1\n", {}, SmilesFileError, "smiles"),
        ("SMILES,step\nCCO,1\n", {}, IngestError, "a file of REINVENT lacks the column 'Score'"),
        ("SMILES,Score,step\nCCO,0.5,x\n", {}, IngestError, "line 2: the column 'step'"),
        ("SMILES,Score\nCCO,\nCCN,none\n", {}, IngestError, "no row has a number in the column 'Score'"),
        ("SMILES,a,b\nCCO,1,1\n", {"form": "csv"}, IngestError, "'a', 'b' beside the molecules.* --reward"),
        ("SMILES,a\nCCO,1\n", {"form": "csv", "reward": "b"}, IngestError, "the table lacks the column 'b'"),
        ("SMILES,a\nCCO,1\n", {"form": "molscore"}, IngestError, "'filter'.* 'a'; .* --reward"),
        ("SMILES,a\nCCO,1\n", {"form": "excel"}, IngestError, "one of the formats reinvent, molscore, csv"),
        ("SMILES,a\nCCO,1\n", {"name": " "}, IngestError, "the scores need a name"),
    ],
)
def test_a_file_that_is_not_what_it_is_said_to_be_is_refused(
    lab: mb.Lab, policy: mb.Policy, tmp_path: Path, text: str, plan: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        ingested(lab, written(tmp_path, text), policy, **plan)
    assert len(lab.runs()) == 0


def test_what_the_policy_cannot_express_is_rejected(lab: mb.Lab, policy: mb.Policy, tmp_path: Path) -> None:
    text = "smiles,value\nCCS,0.5\n[CH3]CO,0.6\nCCO.Cl,0.7\n"
    receipt = ingested(lab, written(tmp_path, text), policy, form="csv")
    assert receipt.rejected == {"duplicate": 1, "vocabulary": 1} and receipt.kept == 1
    # As it is written where the policy can express that, else canonical.
    assert lab.query("SELECT raw FROM sample_history WHERE kept")["raw"].to_list() == ["CCO"]


def test_the_score_of_molscore_is_that_before_its_diversity_filter(
    lab: mb.Lab, policy: mb.Policy, tmp_path: Path
) -> None:
    receipt = ingested(lab, written(tmp_path, MOLSCORE), policy, form="molscore")
    assert receipt.kept == 2
    assert lab.query("SELECT smiles, reward FROM sample_history ORDER BY file_line").rows() == [
        ("CCO", 0.41),
        ("CCN", 0.45),
    ]
    names = MOLSCORE.splitlines()[0].replace("smiles,", "").split(",")
    assert molscore_columns(names).scores == {"desc_QED": "desc_QED"}
    assert molscore_columns([name for name in names if not name.startswith("filtered")]).reward == "single"


def test_older_files_of_reinvent_have_their_names() -> None:
    assert reinvent_columns(["Step", "Scaffold", "total_score", "ID"]).reward == "total_score"
    assert reinvent_columns(["Step", "Scaffold", "total_score", "ID"]).step == "Step"
