"""prefect.yaml on a real server: deploy, start a worker, and see a scheduled build arrive in the store."""

import os
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import httpx
import pytest

from molbuffer.storage import SampleStore

ROOT = Path(__file__).resolve().parents[3]
PREFECT = Path(sys.executable).with_name("prefect")
PATIENCE_SECONDS = 180


def wait_until_healthy(address: str, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{address}/health", timeout=2).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.5)
    pytest.fail(f"the Prefect server did not come up:\n{log.read_text()}")


def stored_rows(folder: Path) -> int:
    if not (folder / "store.toml").exists():
        return 0
    with SampleStore.open(folder, read_only=True) as store:
        return int(store.query("SELECT count(*) AS n FROM sample_history WHERE kept")["n"][0])


def test_a_scheduled_build_arrives_in_the_store(tiny_config: Path, tmp_path: Path, services: ModuleType) -> None:
    address = f"http://127.0.0.1:{(port := services.free_port())}/api"
    environment = {
        **os.environ,
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_API_URL": address,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "2",
    }
    store = tmp_path / "store"

    def prefect(*arguments: str) -> None:
        done = subprocess.run([PREFECT, *arguments], env=environment, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    server_log, worker_log = tmp_path / "server.log", tmp_path / "worker.log"
    serve = ("server", "start", "--host", "127.0.0.1", "--port", str(port))
    with services.process_group(PREFECT, *serve, env=environment, cwd=ROOT, log=server_log):
        wait_until_healthy(address, server_log)
        prefect("work-pool", "create", "molbuffer", "--type", "process")
        # The schedule of the file comes at night; the test's comes at once.
        parameters = ("--param", f"config={tiny_config}", "--param", f"store={store}")
        prefect("--no-prompt", "deploy", "--name", "nightly-build", *parameters, "--interval", "20")
        with services.process_group(
            PREFECT, "worker", "start", "--pool", "molbuffer", env=environment, cwd=ROOT, log=worker_log
        ):
            deadline = time.monotonic() + PATIENCE_SECONDS
            while stored_rows(store) < 24 and time.monotonic() < deadline:
                time.sleep(1)
    assert stored_rows(store) >= 24, worker_log.read_text()
    with SampleStore.open(store, read_only=True) as opened:
        runs = opened.query("SELECT kind, flow_run_id FROM builds JOIN runs USING (run_id)")
    assert runs["kind"][0] == "build"
    assert runs["flow_run_id"][0] is not None
