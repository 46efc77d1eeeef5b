"""R14: how long a training waits for rows whose rewards are to come, what is a sign of a scorer, and what it says."""

from types import SimpleNamespace

import pytest

from molbuffer.lab import described_run
from molbuffer.storage import Build, Commit, Event, Reward, RunKind, Samples, SampleStore, ScoreStatus
from molbuffer.storage.rows import Rows
from molbuffer.training.batches import in_flight
from molbuffer.training.batches.in_flight import RowsInFlight, Waiting

SMILES = ["C", "CC", "CCC", "CCCC"]
DOCK = ("dock", "dock-1")


class Clock:
    """Time that passes while somebody sleeps, and in which others do something at given moments."""

    def __init__(self) -> None:
        self.now, self.events = 0.0, dict[float, object]()

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for at in [at for at in self.events if at <= self.now]:
            self.events.pop(at)()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(in_flight, "time", SimpleNamespace(sleep=clock.sleep))
    return clock


@pytest.fixture
def build_id(store: SampleStore) -> str:
    """A build of four rows that wait for their scores."""
    store.start_run(described_run("run-1", "waits", RunKind.TRAIN, "{}", 0))
    build = Build(
        run_id="run-1",
        iteration=0,
        event=Event.BUILD_BUFFER,
        sampler="agent",
        sampler_kind="model",
        objective_sha256="objective",
        samples=Samples(SMILES, SMILES, [None] * 4, Rows.blank(4, "vocabulary")),
        rewards=[Reward(row, "objective", None, ScoreStatus.PENDING) for row in range(4)],
    )
    store.commit(Commit([build]))
    return build.build_id


def waiting(store: SampleStore, clock: Clock, said: list[str]) -> RowsInFlight:
    intervals = Waiting(timeout_seconds=100, look_seconds=10, claims_seconds=10, say_seconds=60)
    return RowsInFlight(
        store, "run-1", "objective", [DOCK], waiting=intervals, say=said.append, clock=lambda: clock.now
    )


def test_a_new_score_and_a_new_claim_are_signs_of_a_scorer_and_a_renewed_claim_is_none(
    store: SampleStore, clock: Clock, build_id: str
) -> None:
    said: list[str] = []
    rows = waiting(store, clock, said)
    clock.events = {
        50: lambda: store.claims.claim(*DOCK, ["C"], "here:7:a", 60),
        90: lambda: store.claims.claim(*DOCK, ["C"], "here:7:a", 60),
        140: lambda: store.add_rewards(build_id, [Reward(0, "objective", 0.5)], "run-1"),
    }
    assert rows.count() == 4
    assert rows.wait(3, 2), "one of two has come when nobody has scored for long enough"
    assert (rows.wait(3, 1), rows.timed_out) == (False, True)
    assert 240 < clock.now <= 260
    assert "iteration 3 waits for 2 rows: 4 of the run wait for their scores" in said[0]
    assert "nobody scores them: start `molbuffer score-pending --store" in said[0]
    assert said[1].endswith("scored by here:7")
    assert "3 rows of the run wait for their scores" in rows.advice()
    assert "1 have a reward and 0 failed" in rows.advice()


def test_it_goes_on_with_enough_rows_and_when_none_is_left(store: SampleStore, clock: Clock, build_id: str) -> None:
    rows = waiting(store, clock, [])
    good = [Reward(row, "objective", 0.5) for row in range(2)]
    failed = [Reward(row, "objective", None, ScoreStatus.FAILED) for row in (2, 3)]
    clock.events = {20: lambda: store.add_rewards(build_id, good, "run-1")}
    assert (rows.wait(0, 2), clock.now) == (True, 20)
    clock.events = {40: lambda: store.add_rewards(build_id, failed, "run-1")}
    assert (rows.wait(0, 1), clock.now, rows.advice()) == (False, 40, "")


def test_no_time_to_wait_is_refused() -> None:
    with pytest.raises(ValueError, match="timeout_seconds must be above 0, got 0"):
        Waiting(timeout_seconds=0)
