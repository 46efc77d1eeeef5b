import time

import pytest

from molbuffer.storage.records import Commit, Score, ScoreStatus


def failed(smiles, error="crashed", component="docking"):
    return Score(smiles, component, "v1", None, ScoreStatus.FAILED, error, 2.5)


def test_scores_are_found_by_molecule_component_and_version(started):
    scores = [
        Score("C", "docking", "v1", -1.0, seconds=3.5),
        Score("CC", "docking", "v2", -2.0),
        Score("C", "qed", "v1", 0.5),
    ]
    assert started.record_scores(scores, run_id="run-1") == 3
    assert started.find_scores("docking", "v1", ["C", "CC", "C", "CCC"]) == {"C": scores[0]}
    assert started.find_scores("docking", "v1", []) == {}
    assert started.query("SELECT DISTINCT run_id FROM scores").item() == "run-1"


def test_a_good_score_wins_over_failures_before_and_after_it(started):
    started.record_scores([failed("C", "first"), failed("N")])
    assert started.find_scores("docking", "v1", ["C"])["C"].error == "first"
    started.record_scores([failed("C", "second")])
    assert started.find_scores("docking", "v1", ["C"])["C"] == failed("C", "second")
    good = Score("C", "docking", "v1", -3.0)
    started.record_scores([good])
    started.record_scores([failed("C", "third")])
    assert started.find_scores("docking", "v1", ["C", "N"]) == {"C": good, "N": failed("N")}
    assert started.query("SELECT smiles, status FROM score_cache ORDER BY smiles").rows() == [
        ("C", "ok"),
        ("N", "failed"),
    ]


def test_a_pending_score_is_no_score(started):
    started.record_scores([Score("C", "docking", "v1", None, ScoreStatus.PENDING)])
    assert started.find_scores("docking", "v1", ["C"]) == {}


def test_a_good_score_is_recorded_once(started):
    score = Score("C", "docking", "v1", -3.0)
    assert started.record_scores([score]) == 1
    before = started.snapshot()
    assert started.record_scores([score]) == 0
    assert started.record_scores([]) == 0
    assert started.snapshot() == before
    started.commit(Commit(scores=[score, Score("N", "docking", "v1", -1.0)]))
    assert started.query("SELECT count(*) FROM scores").item() == 2


def test_r3_the_scores_of_a_repeated_build_are_not_doubled(started, make):
    build = make.make_build(scores=[Score("C", "qed", "v1", 0.5)])
    started.commit(Commit([build]))
    started.commit(Commit([build]))
    assert started.query("SELECT smiles, run_id FROM scores").rows() == [("C", "run-1")]


@pytest.mark.parametrize("smiles", ["C'; DROP TABLE scores; --", "", "é" * 500, "a\nb\\"])
def test_any_string_is_data(started, smiles):
    score = Score(smiles, "quote'd", "v1", 1.0)
    started.record_scores([score])
    assert started.find_scores("quote'd", "v1", [smiles]) == {smiles: score}


def test_ten_thousand_molecules_are_found_among_many_fast(started, make):
    known = [Score(f"C{i}", "qed", "v1", i / 1e6) for i in range(100_000)]
    started.commit(Commit([make.make_build(scores=known)]))
    asked = [f"C{i}" for i in range(95_000, 105_000)]
    started_at = time.process_time()
    found = started.find_scores("qed", "v1", asked)
    seconds = time.process_time() - started_at
    assert len(found) == 5_000
    assert found["C99999"].value == 99_999 / 1e6
    # A list of ten thousand literals takes many times as long. Processor time, since others may be busy.
    assert seconds < 20
