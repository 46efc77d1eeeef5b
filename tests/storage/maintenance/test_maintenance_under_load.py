"""Builders, trainings, queries, checks and a maintainer at once: nothing is lost, and nobody sees another history."""

import re
import signal

import pytest

from molbuffer.storage import SampleStore
from molbuffer.storage.verify.verify import verify_store

SECONDS = 5


@pytest.fixture
def pinned(filled, make):
    """The store, and a version that a run pins."""
    version = filled.snapshot()
    filled.start_run(make.make_run("run-2", pinned_snapshot=version))
    return filled, version


def test_nothing_is_lost_and_a_pinned_version_is_always_the_same(pinned, content, writer, maintainer, tmp_path):
    store, version = pinned
    before = content(store, version)
    readers = [maintainer("read", store.path, tmp_path / f"cache-{n}", version, SECONDS) for n in (1, 2)]
    writers = [writer("race", store.path, start, start + 500) for start in (100, 110)]
    maintaining = maintainer("maintain", store.path)

    outputs = [reader.communicate(timeout=200) for reader in readers]
    report = verify_store(store.path)
    acknowledged = set()
    for process in [*writers, maintaining]:
        process.send_signal(signal.SIGKILL)
    for process in writers:
        output, errors = process.communicate()
        assert errors == ""
        # A last line that was cut off was not acknowledged.
        acknowledged |= set(re.findall(r"^(?:committed|repeated) (\w+)\n", output, re.MULTILINE))
    maintained, errors = maintaining.communicate()
    assert errors == ""

    assert [reader.returncode for reader in readers] == [0, 0], outputs
    lines = [line.split() for output, _ in outputs for line in output.splitlines()]
    assert len(lines) >= 2
    assert len({digest for digest, _, _ in lines}) == 1
    for output, _ in outputs:
        seen = [tuple(map(int, line.split()[1:])) for line in output.splitlines()]
        # Of six rows of a build four can be trained on; never fewer than before, never a part of a build.
        assert seen == sorted(seen)
        assert all(trainable % 4 == 0 and counted % 6 == 0 for trainable, counted in seen)
    assert re.search(r"^maintained [1-9]", maintained, re.MULTILINE)
    assert report.errors == ()

    with SampleStore.open(store.path) as opened:
        stored = {receipt.build_id: receipt for receipt in opened.receipts("run-1")}
        assert len(acknowledged) >= 2
        assert acknowledged <= set(stored)
        assert len(opened.receipts("run-1")) == len(stored)
        rows = opened.query("SELECT build_id, count(*) AS n FROM samples GROUP BY build_id")
        assert set(rows["n"]) == {6}
        assert content(opened, version) == before
        for build_id in acknowledged:
            assert len(opened.build(build_id).samples) == 6
        opened.maintenance.compact()
        assert opened.verify().errors == ()
