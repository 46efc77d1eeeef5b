"""Whole numbers are written into statements about DuckLake's own tables: DuckDB imports pandas for any bound value."""

import subprocess
import sys
from typing import Any

from molbuffer.storage.catalog.catalog import _with_numbers


def test_whole_numbers_are_written_out_and_the_rest_stays_bound() -> None:
    sql = "a > $snapshot AND b = $name AND c = $snapshot_id AND d <= $snapshot"
    written, bound = _with_numbers(sql, {"snapshot": 12, "name": "runs", "snapshot_id": -3})
    assert written == "a > 12 AND b = $name AND c = -3 AND d <= 12"
    assert bound == {"name": "runs"}
    # A truth value is no number, and a number in a text is a text.
    assert _with_numbers("$a $b", {"a": True, "b": "1"}) == ("$a $b", {"a": True, "b": "1"})


def test_numbers_find_what_bound_values_find(started: Any) -> None:
    catalog = started._catalog
    assert catalog.has_version(started.snapshot())
    assert not catalog.has_version(started.snapshot() + 1)
    known = "SELECT count(*) FROM METADATA.ducklake_table WHERE table_name = $name AND begin_snapshot <= $snapshot"
    assert catalog.metadata(known, {"name": "runs", "snapshot": started.snapshot()}) == [(1,)]


def test_a_query_does_not_import_pandas(started: Any) -> None:
    code = """import sys
from molbuffer.storage import SampleStore
with SampleStore.open(sys.argv[1], read_only=True) as store:
    store.query("SELECT count(*) FROM samples")
print("pandas" in sys.modules)"""
    done = subprocess.run([sys.executable, "-c", code, started.path], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
