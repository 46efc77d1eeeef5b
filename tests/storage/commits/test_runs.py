"""The life of a run: started, then finished or failed."""

import pytest

from molbuffer.storage import SampleStore
from molbuffer.storage.records import Run, RunKind, RunStatus


def test_a_recorded_run_is_finished_with_its_block(store: SampleStore) -> None:
    with store.recorded_run(Run("r", "r", RunKind.BUILD, "{}", 0)) as status:
        assert status is RunStatus.STARTED
    with store.recorded_run(Run("r", "r", RunKind.BUILD, "{}", 0)) as status:
        assert status is RunStatus.RESUMED
    assert events_of(store, "r") == [("started", None), ("finished", None), ("resumed", None), ("finished", None)]


@pytest.mark.parametrize("error", [ValueError("no such thing"), KeyboardInterrupt()])
def test_a_recorded_run_that_ends_with_an_error_has_failed(store: SampleStore, error: BaseException) -> None:
    with pytest.raises(type(error)), store.recorded_run(Run("r", "r", RunKind.SCORE, "{}", 0)):
        raise error
    assert events_of(store, "r") == [("started", None), ("failed", f"{type(error).__name__}: {error}")]


def test_an_error_is_not_hidden_by_a_store_that_cannot_record_it(store: SampleStore) -> None:
    run = Run("r", "r", RunKind.SCORE, "{}", 0)
    with pytest.raises(ValueError, match="the cause") as caught, store.recorded_run(run):
        store.close()
        raise ValueError("the cause")
    assert any("could not record that run r failed" in note for note in caught.value.__notes__)


def events_of(store: SampleStore, run_id: str) -> list[tuple[str, str | None]]:
    found = store.query(f"SELECT status, detail FROM run_events WHERE run_id = '{run_id}' ORDER BY created")
    return found.rows()
