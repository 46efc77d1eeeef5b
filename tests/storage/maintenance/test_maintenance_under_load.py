"""Builders, trainings, queries, checks and a maintainer at once: nothing is lost, and nobody sees another history."""

import re
import signal

import pytest

from molbuffer.storage import SampleStore
from molbuffer.storage.verify.verify import verify_store


def read_until(process, pattern, times=1):
    """The lines of a process until so many of them match."""
    said = ""
    while len(re.findall(pattern, said, re.MULTILINE)) < times:
        line = process.stdout.readline()
        assert line, process.communicate()
        said += line
    return said


def ends(processes):
    return [process.communicate(timeout=600) for process in processes]


@pytest.fixture
def pinned(filled, make):
    """The store, and a version that a run pins."""
    version = filled.snapshot()
    filled.start_run(make.make_run("run-2", pinned_snapshot=version))
    return filled, version


def without_waits(errors):
    """The lines of standard error but those of a wait for the lock, which a slow machine makes long."""
    return [line for line in errors.splitlines() if not line.startswith("waiting up to")]


def test_nothing_is_lost_and_a_pinned_version_is_always_the_same(pinned, content, writer, maintainer, tmp_path):
    store, version = pinned
    before = content(store, version)
    stop = tmp_path / "stop"
    readers = [maintainer("read", store.path, tmp_path / f"cache-{n}", version, stop) for n in (1, 2)]
    writers = [writer("race", store.path, start, start + 40) for start in (100, 110)]
    maintaining = maintainer("maintain", store.path)

    # Each has done something beside the others, however long that takes.
    read_until(maintaining, "^maintained [1-9]")
    said = [read_until(process, "^committed", times=2) for process in writers]
    seen_by = [read_until(reader, "$\n", times=2) for reader in readers]
    report = verify_store(store.path)
    stop.touch()
    outputs = [(first + last, errors) for first, (last, errors) in zip(seen_by, ends(readers), strict=True)]
    for process in [*writers, maintaining]:
        process.send_signal(signal.SIGKILL)
    acknowledged = set()
    for first, (last, errors) in zip(said, ends(writers), strict=True):
        output = first + last
        assert without_waits(errors) == []
        # A last line that was cut off was not acknowledged.
        acknowledged |= set(re.findall(r"^(?:committed|repeated) (\w+)\n", output, re.MULTILINE))
    assert without_waits(maintaining.communicate()[1]) == []

    assert [reader.returncode for reader in readers] == [0, 0], outputs
    lines = [line.split() for output, _ in outputs for line in output.splitlines()]
    assert len(lines) >= 4
    assert len({digest for digest, _, _ in lines}) == 1
    for output, _ in outputs:
        seen = [tuple(map(int, line.split()[1:])) for line in output.splitlines()]
        # Of six rows of a build four can be trained on; never fewer than before, never a part of a build.
        assert seen == sorted(seen)
        assert all(trainable % 4 == 0 and counted % 6 == 0 for trainable, counted in seen)
    assert report.errors == ()

    with SampleStore.open(store.path) as opened:
        stored = {receipt.build_id: receipt for receipt in opened.receipts("run-1")}
        assert len(acknowledged) >= 4
        assert acknowledged <= set(stored)
        assert len(opened.receipts("run-1")) == len(stored)
        rows = opened.query("SELECT build_id, count(*) AS n FROM samples GROUP BY build_id")
        assert set(rows["n"]) == {6}
        assert content(opened, version) == before
        for build_id in acknowledged:
            assert len(opened.build(build_id).samples) == 6
        opened.maintenance.compact()
        assert opened.verify().errors == ()
