"""Scores that are looked up again and again come from memory, and are what the tables have."""

import pytest

from molbuffer.storage.commits import KnownScores
from molbuffer.storage.commits.known_scores import LOOK_UPS_BEFORE
from molbuffer.storage.commits.scores import find_scores
from molbuffer.storage.records import Score, ScoreStatus


@pytest.fixture
def reads(started, monkeypatch):
    """The SQL of each read of the catalog."""
    catalog, made = started._catalog, []
    read = catalog.read
    monkeypatch.setattr(
        catalog, "read", lambda sql, *others, **named: (made.append(sql), read(sql, *others, **named))[1]
    )
    return made


def score(smiles, value=None, status=ScoreStatus.OK, component="docking", version="v1"):
    return Score(smiles, component, version, value, status, None if status is ScoreStatus.OK else "crashed", 1.5)


def test_look_ups_after_the_first_read_no_table_until_something_is_added(started, reads):
    started.record_scores([score("C", -1.0), score("N", -2.0)])
    known = KnownScores(started._catalog)
    for _ in range(LOOK_UPS_BEFORE + 1):
        assert known.find("docking", "v1", ["C", "O"]) == {"C": score("C", -1.0)}
    reads.clear()
    assert known.find("docking", "v1", ["N", "O"]) == {"N": score("N", -2.0)}
    assert reads == []
    started.record_scores([score("O", -3.0)])
    reads.clear()
    assert known.find("docking", "v1", ["O", "N"]) == {"O": score("O", -3.0), "N": score("N", -2.0)}
    assert len(reads) == 1 and "snapshot_id >" in reads[0]


def test_each_answer_is_that_of_the_tables(started):
    known, asked = KnownScores(started._catalog), ["C", "N", "O", "S", "P"]
    for _ in range(LOOK_UPS_BEFORE):
        assert known.find("docking", "v1", asked) == {}
    steps = [
        ([score("C", None, ScoreStatus.FAILED), score("N", None, ScoreStatus.LOST)], "run-1"),
        ([score("C", -1.0), score("O", None, ScoreStatus.PENDING)], "run-1"),
        ([score("C", None, ScoreStatus.FAILED), score("S", 0.5, component="qed")], "run-2"),
        ([score("N", None, ScoreStatus.FAILED), score("S", None, ScoreStatus.LOST)], "run-2"),
        ([score("P", -2.0, version="v2"), score("N", -4.0)], None),
    ]
    for scores, run_id in steps:
        started.record_scores(scores, run_id=run_id)
        for lost_in in (None, "run-1", "run-2"):
            expected = find_scores(started._catalog, "docking", "v1", asked, lost_in)
            assert known.find("docking", "v1", asked, lost_in) == expected


def test_what_others_add_and_what_is_merged_is_found(started):
    known = KnownScores(started._catalog)
    for number in range(6):
        with type(started).open(started.path) as other:
            other.record_scores([score(f"C{number}", -float(number))])
        if number == 3:
            started.maintenance.compact()
        found = known.find("docking", "v1", [f"C{each}" for each in range(6)])
        assert found == {f"C{each}": score(f"C{each}", -float(each)) for each in range(number + 1)}


def test_more_scores_than_are_kept_are_looked_up_in_the_tables(started, reads):
    started.record_scores([score(f"C{number}", -float(number)) for number in range(5)])
    known = KnownScores(started._catalog, most=3)
    for _ in range(LOOK_UPS_BEFORE + 2):
        assert known.find("docking", "v1", ["C4"]) == {"C4": score("C4", -4.0)}
    assert sum("SEMI JOIN wanted" in sql for sql in reads) == LOOK_UPS_BEFORE + 2
    assert known._known["docking", "v1"].best == {}
