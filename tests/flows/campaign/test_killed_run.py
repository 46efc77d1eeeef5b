"""A training that is killed with SIGKILL and resumed ends as if nothing had happened."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
from polars.testing import assert_frame_equal

from molbuffer.flows.settings.settings import load_settings
from molbuffer.flows.tasks import local_builder
from molbuffer.flows.train import train
from molbuffer.flows.work import run_online
from molbuffer.storage import SampleStore

COMMAND = Path(sys.executable).with_name("molbuffer")
PATIENCE_SECONDS = 600
ROWS = """
    SELECT iteration, event, sampler, row, smiles, raw, kept, rejected_by, reward, policy_sha256
    FROM sample_history ORDER BY iteration, event, sampler, row
"""
METRICS = """
    SELECT m.iteration, m.name, m.value, b.event FROM metrics m LEFT JOIN builds b USING (build_id)
    WHERE m.name NOT LIKE 'seconds%' ORDER BY ALL
"""


def read(store: Path, sql: str) -> pl.DataFrame:
    with SampleStore.open(store, read_only=True) as opened:
        return opened.query(sql)


def checkpoints(store: Path) -> int:
    # Asked often: to open a store takes longer.
    if next(store.glob("checkpoints/*/*"), None) is None:
        return 0
    return int(read(store, "SELECT count(*) AS n FROM checkpoints")["n"][0])


def test_a_killed_training_is_resumed_to_the_same_end(
    tiny_config: Path, tmp_path: Path, with_server: dict[str, str]
) -> None:
    tiny_config.write_text(tiny_config.read_text().replace("iterations = 4", "iterations = 8"))
    config = load_settings(tiny_config).to_json()
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    expected = run_online(config, str(undisturbed), local_builder)
    with (tmp_path / "log").open("w") as log:
        arguments = [COMMAND, "run", str(tiny_config), "--store", str(killed)]
        process = subprocess.Popen(
            arguments, stdout=log, stderr=log, env={**os.environ, **with_server}, start_new_session=True
        )
    deadline = time.monotonic() + PATIENCE_SECONDS
    while checkpoints(killed) == 0 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert 0 < checkpoints(killed) < checkpoints(undisturbed), (tmp_path / "log").read_text()
    run_id = str(read(killed, "SELECT run_id FROM runs")["run_id"][0])

    resumed = train(config, str(killed), run_id=run_id)

    assert resumed["policy"] == expected["policy"]
    assert_frame_equal(read(killed, ROWS), read(undisturbed, ROWS))
    assert_frame_equal(read(killed, METRICS), read(undisturbed, METRICS))
    events = read(killed, "SELECT status FROM run_events ORDER BY created")["status"].to_list()
    assert events == ["started", "resumed", "finished"]
