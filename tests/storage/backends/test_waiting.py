"""Who waits for another process says for which, and gives up in time."""

import logging
import os
import threading

import pytest

from molbuffer.storage import SampleStore
from molbuffer.storage.backends import ClaimWait
from molbuffer.storage.backends.sqlite import SqliteBackend, SqliteClaims
from molbuffer.storage.catalog import Catalog
from molbuffer.storage.errors import StoreBusyError

DECADE = 10 * 365 * 24 * 3600.0


@pytest.fixture
def held(tmp_path):
    """The lock of a store, held by this process."""
    with SqliteBackend(tmp_path / "catalog.sqlite").writers(1).held():
        yield SqliteBackend(tmp_path / "catalog.sqlite")


def test_a_lock_that_is_not_given_up_is_told_with_its_holder(held, caplog, monkeypatch):
    monkeypatch.setattr("molbuffer.storage.backends.waiting.SILENT_SECONDS", 0.01)
    with caplog.at_level(logging.WARNING, "molbuffer.storage.waiting"), pytest.raises(StoreBusyError) as told:
        held.writers(0.05).held().__enter__()
    (waiting,) = caplog.messages
    for said in (waiting, str(told.value)):
        assert "commit.lock" in said
        assert f"process {os.getpid()} " in said


def test_a_lock_that_nobody_waits_for_is_told_at_once(held, caplog):
    held.database.with_name("maintenance.lock").touch()
    with held.maintainers().held(), pytest.raises(StoreBusyError, match=str(os.getpid())):
        held.maintainers().held().__enter__()
    assert not caplog.messages


def test_opening_that_waits_says_so_and_goes_on(started, caplog, monkeypatch):
    monkeypatch.setattr("molbuffer.storage.backends.waiting.SILENT_SECONDS", 0.01)
    holder = Catalog(started._layout.catalog, read_only=False)
    opened = threading.Event()

    def open_store() -> None:
        SampleStore.open(started.path).close()
        opened.set()

    opening = threading.Thread(target=open_store)
    with caplog.at_level(logging.WARNING, "molbuffer.storage.waiting"), holder.locked():
        opening.start()
        while not caplog.messages:
            opening.join(0.01)
        assert not opened.is_set()
    opening.join(600)
    assert opened.is_set()
    holder.close()
    assert "commit.lock" in caplog.messages[0]


@pytest.mark.parametrize("ahead", [3601.0, 24 * 3600.0, DECADE, float("inf")])
def test_a_claim_made_under_a_wrong_clock_counts_as_expired(tmp_path, ahead):
    path, now = tmp_path / "claims.sqlite", 1000.0
    assert SqliteClaims(path, lambda: now + ahead).claim("docking", "v1", ["C", "N"], "ahead", 60) == {"C", "N"}
    right = SqliteClaims(path, lambda: now)
    assert right.holders("docking", "v1", ["C"]) == {}
    assert right.claim("docking", "v1", ["C"], "right", 3600) == {"C"}
    # Renewed under the clock that is right by now, what nobody has taken is the first owner's.
    assert right.claim("docking", "v1", ["C", "N"], "ahead", 60) == {"N"}
    # A clock that is behind takes nothing away from anybody.
    behind = SqliteClaims(path, lambda: now - 5)
    assert behind.claim("docking", "v1", ["N"], "behind", 60) == set()


@pytest.mark.parametrize("seconds", [-1.0, 3600.1, DECADE, float("inf"), float("nan")])
def test_a_claim_has_an_end(tmp_path, seconds):
    with pytest.raises(ValueError, match="3600"):
        SqliteClaims(tmp_path / "claims.sqlite").claim("docking", "v1", ["C"], "a", seconds)


def test_a_scorer_that_waits_says_for_whom_once_in_a_while(tmp_path, caplog):
    claims, now = SqliteClaims(tmp_path / "claims.sqlite"), [0.0]
    claims.claim("docking", "v1", ["C", "N"], "host-a", 50)
    waiting = ClaimWait(claims, "docking", "v1", every_seconds=60, clock=lambda: now[0])
    said = []
    with caplog.at_level(logging.WARNING, "molbuffer.storage.waiting"):
        for second in range(0, 190, 5):
            now[0] = float(second)
            said += [second] if waiting.note({"C", "N", "O"}) else []
    assert said == [60, 120, 180]
    assert len(caplog.messages) == 3
    assert all("docking" in message and "host-a" in message for message in caplog.messages)
