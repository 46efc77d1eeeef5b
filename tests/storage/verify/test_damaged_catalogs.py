"""Whatever is wrong with a catalog, there is a report, and what can be read without it is checked."""

import json
import subprocess
import sys
from pathlib import Path

from molbuffer.storage import SampleStore
from molbuffer.storage.records import Commit

SCRIPT = Path(__file__).with_name("damaged_catalogs.py")
SOUND = {"flip at 16", "garbage row", "deep provenance"}
"""Damage that may leave all that a store needs."""


def test_each_damaged_catalog_has_a_report_and_the_segments_are_looked_at(tmp_path, make):
    with SampleStore.create(tmp_path / "store") as store:
        store.start_run(make.make_run())
        store.commit(Commit([make.make_build(0, policy_sha256=None)]))
    command = [sys.executable, "-W", "error", str(SCRIPT), str(tmp_path / "store"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, (reports[-1:], done.stderr[-2000:])
    assert len(reports) >= 50
    assert [report for report in reports if "raised" in report] == []
    assert [report["damage"] for report in reports if report["checked"].get("segments") != 1] == []
    unnoticed = {report["damage"] for report in reports if not report["kinds"]}
    # One byte may be in a part of a page that is free, or say what it said.
    assert {name for name in unnoticed if not name.startswith("flip")} <= SOUND
