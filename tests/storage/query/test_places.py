"""What queries, predicates and exports answer does not depend on the place of the machine."""

import json
import os
import subprocess
import sys
from datetime import timedelta

import pytest

ASK = """
import json, sys
from pathlib import Path
from molbuffer.storage import SampleStore
from molbuffer.storage.backends import closed_connection

folder, moment = Path(sys.argv[1]), sys.argv[2]
conditions = [
    f"created::TIMESTAMPTZ > '{moment}'",
    f"created > TIMESTAMPTZ '{moment}+00'",
    f"strftime(created::TIMESTAMPTZ, '%Y-%m-%d %H') = strftime(created, '%Y-%m-%d %H')",
    f"date_part('year', created::TIMESTAMPTZ) = date_part('year', created)",
    f"created::TIMESTAMPTZ::DATE = created::DATE",
    f"date_trunc('day', created::TIMESTAMPTZ) = date_trunc('day', created)",
]
# All of them hold for all rows.
every = " AND ".join(f"({condition})" for condition in conditions)
columns = ", ".join(f"count(*) FILTER (WHERE {condition})" for condition in conditions)
with SampleStore.open(folder, read_only=True) as store:
    said = list(store.query(f"SELECT {columns} FROM sample_history").row(0))
    said += list(store.read_arrow(f"SELECT {columns} FROM {{sample_history}}").to_pylist()[0].values())
    said.append(len(store.matching_rows(every)))
    said.append(store.query(f"SELECT count(*) FROM sample_history WHERE {every}").item())
    said.append(store.read_arrow(f"SELECT 1 AS x FROM {{sample_history}} WHERE {every}").num_rows)
    said.append(store.export(folder.parent / "every.csv", where=every).rows)
with closed_connection() as connection:
    said.append(connection.execute("SELECT TIMESTAMPTZ '2020-01-01 00:00:00'::VARCHAR").fetchone()[0])
print(json.dumps(said))
"""


@pytest.mark.parametrize(
    "place",
    [
        {"TZ": "Pacific/Kiritimati", "LC_ALL": "th_TH.UTF-8@calendar=buddhist", "LANG": "th_TH.UTF-8"},
        {"TZ": "America/Los_Angeles", "LC_ALL": "C"},
    ],
    ids=["east", "west"],
)
def test_the_place_of_the_machine_changes_no_answer(filled, place):
    first = filled.read_arrow("SELECT min(created) AS moment, count(*) AS n FROM {samples}").to_pylist()[0]
    moment = str(first["moment"] - timedelta(minutes=5))
    command = [sys.executable, "-c", ASK, str(filled.path), moment]
    done = subprocess.run(command, env=os.environ | place, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [first["n"]] * 16 + ["2020-01-01 00:00:00+00"]
