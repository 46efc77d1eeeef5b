"""Scores that are handed over: durable at once, found by whoever asks, and committed once, whoever is killed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from molbuffer.storage import SampleStore, Score, ScoreStatus
from molbuffer.storage.errors import StoreModeError

GOOD = Score("CCO", "dock", "v1", 0.5, seconds=3.0, std=0.1, pose="a mol block")
FAILED = Score("CC", "dock", "v1", None, ScoreStatus.FAILED, "no pose")
COUNT = "SELECT smiles, value, status, error, run_id FROM {scores} ORDER BY smiles"


def rows(store: SampleStore) -> list[dict[str, Any]]:
    return store.read_arrow(COUNT).to_pylist()


def files(store: SampleStore) -> list[Path]:
    folder = store.path / "handed-over"
    return sorted(folder.iterdir()) if folder.exists() else []


def test_what_is_handed_over_is_in_no_table_until_it_is_committed(store: SampleStore) -> None:
    before = store.snapshot()
    store.hand_over_scores([GOOD], run_id="a")
    store.hand_over_scores([FAILED], run_id="b")
    assert (store.snapshot(), rows(store), len(files(store))) == (before, [], 2)
    assert store.commit_handed_over() == 2
    assert store.snapshot() == before + 1, "of all in one transaction"
    assert rows(store) == [
        {"smiles": "CC", "value": None, "status": "failed", "error": "no pose", "run_id": "b"},
        {"smiles": "CCO", "value": 0.5, "status": "ok", "error": None, "run_id": "a"},
    ]
    (posed,) = store.read_arrow("SELECT pose, run_id FROM {poses}").to_pylist()
    assert posed == {"pose": "a mol block", "run_id": "a"}
    assert files(store) == []
    assert store.commit_handed_over() == 0
    assert store.snapshot() == before + 1


def test_who_looks_a_score_up_finds_it_and_commits_it(store: SampleStore) -> None:
    store.hand_over_scores([GOOD])
    assert store.find_scores("dock", "v2", ["CCO"]) == {}
    assert store.find_scores("dock", "v1", ["CC"]) == {}
    assert len(files(store)) == 1, "nobody has asked for it"
    assert store.find_scores("dock", "v1", ["CC", "CCO"]) == {"CCO": replace(GOOD, pose=None)}
    assert files(store) == [] and len(rows(store)) == 1


def test_a_store_for_reading_has_what_is_committed(store: SampleStore) -> None:
    store.hand_over_scores([GOOD])
    with SampleStore.open(store.path, read_only=True) as reader:
        assert reader.find_scores("dock", "v1", ["CCO"]) == {}
        with pytest.raises(StoreModeError):
            reader.hand_over_scores([GOOD])
    assert store.at(store.snapshot()).find_scores("dock", "v1", ["CCO"]) == {}


def test_a_run_that_starts_commits_what_killed_processes_have_left(store: SampleStore, make: Any) -> None:
    store.hand_over_scores([GOOD])
    store.start_run(make.make_run())
    assert len(rows(store)) == 1


@pytest.mark.parametrize("score", [GOOD, FAILED])
def test_a_file_that_was_committed_and_not_removed_adds_nothing(store: SampleStore, score: Score) -> None:
    store.hand_over_scores([score])
    (path,) = files(store)
    content = path.read_bytes()
    assert store.commit_handed_over() == 1
    path.write_bytes(content)
    assert store.commit_handed_over() == 0
    assert len(rows(store)) == 1 and files(store) == []


def test_a_good_score_counts_once_and_a_failure_may_be_followed_by_one(store: SampleStore) -> None:
    better = replace(FAILED, status=ScoreStatus.OK, value=0.7, error=None)
    for score in (GOOD, GOOD, FAILED, better):
        store.hand_over_scores([score])
    assert store.commit_handed_over() == 3
    store.hand_over_scores([GOOD])
    assert store.commit_handed_over() == 0
    assert store.find_scores("dock", "v1", ["CC"])["CC"].value == 0.7
    assert store.read_arrow("SELECT count(*) AS n FROM {poses}")["n"][0].as_py() == 1


def test_a_file_that_cannot_be_read_is_kept_and_holds_nobody_up(
    store: SampleStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.hand_over_scores([GOOD])
    (path,) = files(store)
    path.with_name("0.json").write_text('{"run_id": null, "created": "2026-01-01", "scores": [{"smiles": 1}]}')
    (path.parent / ".aside.json.0123").write_text("half of")
    assert store.commit_handed_over() == 1
    assert [each.name for each in files(store)] == [".aside.json.0123", "0.unreadable"]
    assert "0.json has scores that cannot be read" in caplog.text


def test_an_error_of_the_commit_loses_nothing(store: SampleStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.hand_over_scores([GOOD])

    def fail(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr("molbuffer.storage.commits.handed_over.insert_score_rows", fail)
        with pytest.raises(Exception, match="Input/output error"):
            store.commit_handed_over()
    assert (rows(store), len(files(store))) == ([], 1)
    assert store.commit_handed_over() == 1
