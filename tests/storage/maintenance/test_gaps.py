"""Maintenance gives the commit lock away between its steps, for some part of the time that it held it."""

from datetime import timedelta

import pytest

import molbuffer.storage.maintenance.compact
import molbuffer.storage.maintenance.expire
import molbuffer.storage.maintenance.gaps
from molbuffer.storage.maintenance.gaps import GAP_SHARE, give_way


@pytest.fixture
def taken(filled, monkeypatch):
    """The seconds of each step, in whose gap another writer took the lock without waiting."""
    seconds = []

    def take(held_seconds):
        with filled._open.layout.backend.writers(0).held():
            seconds.append(held_seconds)

    for module in (molbuffer.storage.maintenance.compact, molbuffer.storage.maintenance.expire):
        monkeypatch.setattr(module, "give_way", take)
    return seconds


def test_another_writer_gets_the_lock_between_the_steps(filled, taken, monkeypatch):
    monkeypatch.setattr(molbuffer.storage.maintenance.expire, "_PORTION", 3)
    report = filled.maintenance.compact()
    # The rewritten segment, and five tables.
    assert len(taken) == 6
    assert report.longest_lock_seconds == max(taken)
    taken.clear()
    expired = filled.maintenance.expire(timedelta(0)).expired
    assert len(taken) == -(-len(expired) // 3) >= 2


def test_a_gap_is_as_long_as_a_part_of_the_step(monkeypatch):
    slept = []
    monkeypatch.setattr(molbuffer.storage.maintenance.gaps.time, "sleep", slept.append)
    give_way(2.0)
    assert slept == [2.0 * GAP_SHARE]
