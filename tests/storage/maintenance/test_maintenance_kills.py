"""A process that dies in the middle of maintenance: nothing is lost, no version changes, and the next one finishes."""

import functools
import importlib.util
import shutil
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from molbuffer.storage import SampleStore
from molbuffer.storage.records import Checkpoint, Commit, PolicyVersion, Score

AT_ONCE = timedelta(0)
SCRIPT = Path(__file__).parents[1] / "maintenance_process.py"
spec = importlib.util.spec_from_file_location("maintenance_process", SCRIPT)
processes = importlib.util.module_from_spec(spec)
spec.loader.exec_module(processes)


def prepare(store, step):
    """Has the step find something to do."""
    for iteration in (1, 2, 3):
        store.commit(Commit(checkpoint=Checkpoint("run-1", iteration, {"state": b"1"}, None)))
    if step == "vacuum":
        store.maintenance.compact()
        store.maintenance.expire(AT_ONCE, keep=5)


class Prepared(NamedTuple):
    """A closed store, to be copied, in which a step finds something to do, and what it holds."""

    path: Path
    older: int
    before: list[Any]
    segments: set[str]


@pytest.fixture(scope="module")
def prepared(started_template, tmp_path_factory, make, content, places):
    """Returns what is prepared for a step, made once: three builds, each in a segment of its own."""

    @functools.cache
    def of(step):
        path = shutil.copytree(started_template, tmp_path_factory.mktemp("prepared") / "store")
        with SampleStore.open(path) as store:
            for iteration in range(3):
                build, score = make.make_build(iteration, seed=iteration), Score(f"C{iteration}", "qed", "v1", 0.5)
                store.commit(Commit([build], scores=[score], policies=[PolicyVersion("policy-1", "gru")]))
            prepare(store, step)
            newest = store.snapshot()
            # An expiry may forget all others.
            older = newest if step == "expire" else newest - 4
            return Prepared(path, older, [content(store, older), content(store, newest)], set(places(store).values()))

    return of


@pytest.mark.parametrize("stop", processes.STOPS)
def test_killed_at_a_step_nothing_is_lost_and_the_next_one_finishes_the_job(
    open_copy, prepared, maintainer, content, places, stop
):
    step = stop.split(":")[0]
    path, older, before, segments = prepared(step)
    filled = open_copy(path)

    process = maintainer("die", filled.path, stop)
    output, errors = process.communicate(timeout=600)
    assert (output, process.returncode) == ("dying\n", -signal.SIGKILL), errors

    assert [content(filled, older), content(filled, filled.snapshot())] == before
    assert filled.verify().errors == ()

    # Nobody has to clear anything away first.
    filled.maintenance.compact()
    filled.maintenance.expire(AT_ONCE)
    filled.maintenance.vacuum(grace=AT_ONCE)
    assert [snapshot.version for snapshot in filled.snapshots()] == [filled.snapshot()]
    assert content(filled, filled.snapshot()) == before[-1]
    assert len(set(places(filled).values())) == 1
    assert [path.name for path in (filled.path / "arrays").iterdir()] == [*set(places(filled).values())]
    assert segments.isdisjoint(places(filled).values()) or step == "vacuum"
    assert len(list((filled.path / "checkpoints/run-1").iterdir())) == 2
    assert filled.verify().findings == ()
