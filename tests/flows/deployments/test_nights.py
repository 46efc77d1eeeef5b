"""Nights as they are: a real server, pool and worker, a schedule, prefect.yaml, a cancelled run, and killed processes.

The worker is that of an environment with the wheel alone, and was started in a folder of its own. One server and one
worker serve all cases; runs of different cases are asked for before any is waited for.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from molbuffer.flows.cli import app
from molbuffer.flows.cli.nights.asked import NightOptions, asked_nights
from molbuffer.flows.deployments import (
    BUILD,
    DEAD_RUNS,
    FLOWS,
    HEARTBEAT_SECONDS,
    POOL,
    agree,
    planned,
    register,
    register_automation,
    register_automations,
    server,
    silent_runs,
)
from molbuffer.storage import Process, SampleStore

ROOT = Path(__file__).resolve().parents[3]
DEMO = ROOT / "flows" / "tools" / "demo.toml"
PATIENCE_SECONDS = 600
LOOK_SECONDS = 1
"""Between two looks at the server, each of which it answers with some work."""
# A server closes what is idle for 5 s.
KEPT = httpx.Limits(keepalive_expiry=2)
LOST_HEARTBEAT, LOST_WINDOW = 31, 75
"""Seconds of the run whose worker is killed; the heartbeat is nobody else's, so that its window is not either."""
COMPARED = (
    "name",
    "description",
    "tags",
    "parameters",
    "entrypoint",
    "path",
    "pull_steps",
    "work_pool_name",
    "job_variables",
    "concurrency_options",
    "enforce_parameter_schema",
    "parameter_openapi_schema",
)
"""What is compared of two deployments."""
HANGING = """
import time
from pathlib import Path

def score(smiles):
    started = Path("{folder}") / "started"
    if not started.exists():
        started.touch()
        time.sleep(3600)
    return 0.5
"""


@dataclass
class Night:
    """A Prefect server with a pool, and the means to watch it.

    Attributes:
        api: its address.
        environment: of processes that use it.
        log: the output of its processes.
        folder: a folder for stores and configurations.
        client: makes the requests: one of its own for each would read the certificates of the world for each.
    """

    api: str
    environment: dict[str, str]
    log: Path
    folder: Path
    client: httpx.Client

    def ask(self, method: str, path: str, values: Any = None) -> Any:
        """The answer to a request; a server whose database is busy is asked again, as its own clients do."""
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            answer = self.client.request(method, f"{self.api}{path}", json=values)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE or time.monotonic() > end:
                return answer.raise_for_status().json() if answer.content else None
            time.sleep(0.5)

    def post(self, path: str, **values: Any) -> Any:
        return self.ask("POST", path, values)

    def get(self, path: str) -> Any:
        return self.ask("GET", path)

    def deploy(self, config: Path, name: str, *more: str) -> Path:
        """Registers a campaign under a name with a store of its own; gives the store."""
        store = self.folder / name
        words = ["deploy", str(config), "--store", str(store), "--name", name, "--retries", "1", *more]
        result = CliRunner().invoke(app, words, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return store

    def register(self, config: Path, name: str, *flows: str, heartbeat: int = HEARTBEAT_SECONDS) -> Path:
        """Registers some flows as the command registers all; gives the store."""
        store = self.folder / name
        options = NightOptions(file=config, store=store, name=name, retries=1, heartbeat=heartbeat)
        plans = [plan for plan in planned(asked_nights(options, pool=POOL)) if plan.flow in flows]
        assert len(plans) == len(flows)
        ids = register(plans)
        if DEAD_RUNS in flows:
            with server() as client:
                register_automations(client, plans, ids)
        return store

    def ask_for(self, deployment: str) -> str:
        """Asks for a run of a deployment; gives its id."""
        found = self.get(f"/deployments/name/{deployment}")["id"]
        return str(self.post(f"/deployments/{found}/create_flow_run", state={"type": "SCHEDULED"})["id"])

    def wait_until(self, happened: Callable[[], Any], what: str) -> Any:
        end = time.monotonic() + PATIENCE_SECONDS
        while not (found := happened()):
            if time.monotonic() > end:
                pytest.fail(f"{what} did not happen:\n{self.log.read_text()}")
            time.sleep(LOOK_SECONDS)
        return found

    def wait_for_state(self, flow_run: str, *states: str) -> None:
        self.wait_until(lambda: self.get(f"/flow_runs/{flow_run}")["state_type"] in states, f"{states} of {flow_run}")

    def process_of(self, store: Path, run_id: str) -> Process:
        """The process that the store knows of a run at work, once it hangs."""

        def found() -> Process | None:
            hangs = (self.folder / f"campaign-{store.name}" / "started").exists()
            return Process.parse(events_of(store, run_id)[-1][1]) if hangs else None

        process: Process = self.wait_until(found, f"the start of {run_id}")
        return process


def events_of(store: Path, run_id: str) -> list[tuple[str, str]]:
    """The events of a run, the oldest first, with their details."""
    with SampleStore.open(store, read_only=True) as opened:
        sql = "SELECT status, detail FROM run_events WHERE run_id = ? ORDER BY created"
        return list(opened.query(sql, parameters=[run_id]).rows())


def kept(store: Path) -> int:
    with SampleStore.open(store, read_only=True) as opened:
        return int(opened.read_arrow("SELECT count(*) AS n FROM {samples} WHERE kept")["n"][0].as_py())


@pytest.fixture(scope="module")
def night(services: ModuleType, prefect_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    from prefect.context import _temporary_global_settings_context, get_settings_context
    from prefect.settings import PREFECT_API_URL, temporary_settings

    folder, port = tmp_path_factory.mktemp("night"), services.free_port()
    (folder / "prefect").mkdir()
    # The server of the session has made all tables.
    services.prefect(prefect_folder)
    shutil.copy(prefect_folder / "empty.db", folder / "prefect" / "prefect.db")
    api = f"http://127.0.0.1:{port}/api"
    environment = os.environ | {
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_API_URL": api,
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "PREFECT_UI_ENABLED": "0",
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "2",
        "PREFECT_SERVER_EVENTS_PROACTIVE_GRANULARITY": "PT1S",
        # What a worker has by default, which the deployments must not go by.
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "180",
    }
    made = Night(api, environment, folder / "log", folder, httpx.Client(timeout=600, limits=KEPT))
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]

    def healthy() -> bool:
        with suppress(httpx.TransportError):
            return made.client.get(f"{api}/health", timeout=2).is_success
        return False

    with made.client, services.process_group(*command, log=made.log, env=environment):
        made.wait_until(healthy, "the start of the server")
        with temporary_settings({PREFECT_API_URL: api}), _temporary_global_settings_context(get_settings_context()):
            yield made


@pytest.fixture(scope="module")
def hanging(tiny_template: Path, night: Night) -> Callable[[str], Path]:
    """Writes a campaign whose scorer hangs in its first run on a store, and in no later one; gives the file."""

    def write(name: str) -> Path:
        folder = night.folder / f"campaign-{name}"
        folder.mkdir()
        (folder / f"hanging_{name}.py").write_text(HANGING.format(folder=folder))
        text = tiny_template.read_text().replace("buffer_size = 24", "buffer_size = 4")
        told = f'kind = "python"\nfunction = "hanging_{name}:score"\nin_process = true'
        (folder / "hang.toml").write_text(text.replace('kind = "qed"', told))
        return folder / "hang.toml"

    return write


@dataclass(frozen=True)
class Asked:
    """Runs that were asked for at once: their ids, and those of their flow runs, by the name of the deployments."""

    flow_runs: dict[str, str]
    stores: dict[str, Path]
    worker: "subprocess.Popen[bytes]"

    def run_id(self, name: str) -> str:
        return self.flow_runs[name].replace("-", "")


@pytest.fixture(scope="module")
def asked(
    night: Night,
    hanging: Callable[[str], Path],
    tiny_template: Path,
    services: ModuleType,
    installed: Path,
    crowd: Callable[[Path], Path],
) -> Iterator[Asked]:
    elsewhere = crowd(night.folder / "elsewhere")
    stores = {"ours": night.deploy(tiny_template, "ours", "--cron", "0 2 * * *")}
    # A run that is killed is closed by a further one; nobody is left to close the one that is lost.
    stores["killed"] = night.register(hanging("killed"), "killed", BUILD, DEAD_RUNS)
    stores["cancelled"] = night.register(hanging("cancelled"), "cancelled", BUILD)
    stores["lost"] = night.register(hanging("lost"), "lost", BUILD, heartbeat=LOST_HEARTBEAT)
    with server() as client:
        # Longer than the heartbeat, and than one that a busy machine delays; the usual one takes minutes.
        register_automation(client, silent_runs(LOST_HEARTBEAT, window_seconds=LOST_WINDOW))
    flow_runs = {name: night.ask_for(f"build/{name}") for name in stores}
    command = [str(installed / "python"), "-m", "prefect", "worker", "start", "--pool", "molbuffer"]
    with night.log.open("ab") as output:
        worker = subprocess.Popen(
            command, cwd=elsewhere, env=night.environment, stdout=output, stderr=output, start_new_session=True
        )
    yield Asked(flow_runs, stores, worker)
    if worker.poll() is None:
        os.killpg(worker.pid, signal.SIGTERM)
        worker.wait()


def test_a_look_at_what_a_night_lacks_names_the_pool_and_then_the_worker(night: Night, tiny_template: Path) -> None:
    def look() -> tuple[int, str]:
        result = CliRunner().invoke(app, ["deploy", "--check", "--work-pool", "other"])
        return result.exit_code, result.output

    code, said = look()
    assert code == 1
    assert "ok       server:" in said
    assert "missing  pool: there is no pool other: `prefect work-pool create other --type process`" in said
    night.deploy(tiny_template, "unused", "--work-pool", "other")
    code, said = look()
    assert code == 1
    assert "ok       pool: other, of the type process" in said
    assert "missing  worker: other has no running worker, and never had one: `prefect worker" in said
    assert "ok       dead runs of unused: closed by automations" in said


def test_a_build_of_a_worker_in_any_folder_says_what_it_did_and_shows_it(night: Night, asked: Asked) -> None:
    flow_run, store = asked.flow_runs["ours"], asked.stores["ours"]
    night.wait_for_state(flow_run, "COMPLETED")
    assert kept(store) == 24
    told = night.get(f"/flow_runs/{flow_run}")
    assert told["name"] == f"tiny {asked.run_id('ours')[:8]}"
    assert f"run-{asked.run_id('ours')}" in told["tags"]
    of_run = {"flow_run_id": {"any_": [flow_run]}}

    def logged(expected: str) -> bool:
        return any(re.search(expected, each["message"]) for each in night.post("/logs/filter", logs=of_run))

    for expected in (re.escape(f"of the store {store}"), "drew", r"kept 24: \d+ scored", r"best so far: 0\."):
        # A process sends its last lines when it ends, after the state of its run.
        night.wait_until(lambda expected=expected: logged(expected), expected)
    shown = night.post("/artifacts/filter", artifacts=of_run)
    assert {each["key"]: each["type"] for each in shown} == {
        "tiny-progress": "progress",
        "tiny-funnel": "table",
        "tiny-samplers": "table",
        "tiny-builds": "table",
        "tiny-best-molecules": "markdown",
        "tiny-curve": "markdown",
    }
    by_key = {each["key"]: each["data"] for each in shown}
    assert by_key["tiny-progress"] == 100.0
    assert by_key["tiny-best-molecules"].count("(data:image/png;base64,") == 10
    assert "(data:image/svg+xml;base64," in by_key["tiny-curve"]
    assert sum(len(str(each["data"])) for each in shown) < 300_000


def test_a_run_whose_process_is_killed_is_recorded_and_goes_on_by_itself(night: Night, asked: Asked) -> None:
    flow_run, store, run_id = asked.flow_runs["killed"], asked.stores["killed"], asked.run_id("killed")
    os.kill(night.process_of(store, run_id).pid, signal.SIGKILL)
    night.wait_for_state(flow_run, "COMPLETED")
    statuses = [status for status, _ in events_of(store, run_id)]
    assert statuses == ["started", "interrupted", "resumed", "finished"]
    # The chunk of the first attempt, which never ended, counts once.
    assert kept(store) == 4
    states = [each["name"] for each in night.get(f"/flow_run_states/?flow_run_id={flow_run}")]
    found = [name for name in states if name in ("Crashed", "AwaitingRetry", "Completed")]
    # On a slow machine the attempt that goes on may be silent for so long that it is called crashed as well.
    assert found[:2] == ["Crashed", "AwaitingRetry"] and found[-1] == "Completed"


def test_a_cancelled_run_is_interrupted_in_the_store_and_stays_so(night: Night, asked: Asked) -> None:
    flow_run, store, run_id = asked.flow_runs["cancelled"], asked.stores["cancelled"], asked.run_id("cancelled")
    process = night.process_of(store, run_id)
    night.post(f"/flow_runs/{flow_run}/set_state", state={"type": "CANCELLING", "name": "Cancelling"})
    night.wait_for_state(flow_run, "CANCELLED")
    night.wait_until(lambda: process.gone, "the end of the cancelled process")
    assert [status for status, _ in events_of(store, run_id)] == ["started", "interrupted"]
    assert agree(str(store), "cancelled").as_dict() == {
        "interrupted": [], "closed": [], "reopened": [], "resumed": []
    }  # fmt: skip


def test_a_schedule_starts_runs(night: Night, asked: Asked) -> None:
    deployment = night.get("/deployments/name/maintain/ours")["id"]
    schedule = {"schedule": {"interval": 15}, "active": True}
    (of_schedule,) = night.ask("POST", f"/deployments/{deployment}/schedules", [schedule])
    chosen = {
        "deployments": {"id": {"any_": [deployment]}},
        "flow_runs": {"state": {"type": {"not_any_": ["SCHEDULED"]}}},
    }
    (first, *_) = night.wait_until(lambda: night.post("/flow_runs/filter", **chosen), "a run of the schedule")
    # Runs that have not begun go with it.
    night.ask("DELETE", f"/deployments/{deployment}/schedules/{of_schedule['id']}")
    night.wait_for_state(first["id"], "COMPLETED")
    first = night.get(f"/flow_runs/{first['id']}")
    assert (first["auto_scheduled"], first["name"]) == (True, "ours maintain")


@pytest.fixture(scope="module")
def orphaned(night: Night, asked: Asked) -> None:
    """Ends the process of a run, and the worker that would tell of it: nobody else needs that any more.

    It takes the server a minute to notice, in which the tests after this one do their work.
    """
    flow_run, store, run_id = asked.flow_runs["lost"], asked.stores["lost"], asked.run_id("lost")
    process = night.process_of(store, run_id)
    # It was silent for no longer than its heartbeat, also while others were waited for.
    assert night.get(f"/flow_runs/{flow_run}")["state_type"] == "RUNNING"
    os.killpg(asked.worker.pid, signal.SIGKILL)
    asked.worker.wait()
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)


@pytest.mark.usefixtures("orphaned")
def test_one_process_serves_a_campaign_without_pool_and_worker_until_it_is_told_to_end(
    night: Night, tiny_template: Path
) -> None:
    store = night.folder / "served"
    SampleStore.create(store).close()
    words = ["serve", str(tiny_template), "--store", str(store), "--name", "served"]
    with night.log.open("ab") as output:
        serving = subprocess.Popen(
            [str(Path(sys.executable).parent / "molbuffer"), *words],
            cwd=night.folder, env=night.environment, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    try:
        night.wait_until(
            lambda: len(night.post("/deployments/filter", deployments={"name": {"any_": ["served"]}})) == len(FLOWS),
            "the deployments of molbuffer serve",
        )
        assert night.get("/deployments/name/maintain/served")["work_pool_name"] is None
        night.wait_for_state(night.ask_for("maintain/served"), "COMPLETED")
        os.kill(serving.pid, signal.SIGINT)
        assert serving.wait(PATIENCE_SECONDS) in (0, 130)
    finally:
        if serving.poll() is None:
            os.killpg(serving.pid, signal.SIGKILL)
            serving.wait()


@pytest.mark.usefixtures("orphaned")
def test_prefect_yaml_deploys_the_same_as_the_command(night: Night) -> None:
    def deployed() -> dict[str, Any]:
        listed = night.post("/deployments/filter", deployments={"name": {"any_": ["demo"]}})
        # The one value of the settings that is a folder, which nothing is looked for in here.
        listed = json.loads(json.dumps(listed).replace(f'"{DEMO.parent}"', '"."'))
        return {each["entrypoint"]: {key: each[key] for key in COMPARED} | more(each) for each in listed}

    def more(each: dict[str, Any]) -> dict[str, Any]:
        crons = [(of["schedule"]["cron"], of["schedule"]["timezone"]) for of in each["schedules"]]
        # The limit, which not every deployment has, has an id, a name and dates of its own.
        limit = each["global_concurrency_limit"]
        return {"crons": crons, "limit": limit and limit["limit"]}

    store = str(night.folder / "demo")
    given = ["--store", store, "--name", "demo", "--cron", "0 2 * * *", "--cron", "maintain=0 5 * * *"]
    result = CliRunner().invoke(app, ["deploy", str(DEMO), *given], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    by_command = deployed()
    assert len(by_command) == len(FLOWS)
    # Nothing of it is left that the file could rely on.
    for each in night.post("/deployments/filter", deployments={"name": {"any_": ["demo"]}}):
        night.ask("DELETE", f"/deployments/{each['id']}")
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    environment = night.environment | {"MOLBUFFER_STORE": store}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert deployed() == by_command


@pytest.mark.usefixtures("orphaned")
def test_a_run_is_closed_whose_process_and_worker_are_both_gone(night: Night, asked: Asked) -> None:
    flow_run, store, run_id = asked.flow_runs["lost"], asked.stores["lost"], asked.run_id("lost")
    night.wait_for_state(flow_run, "CRASHED")
    assert "no heartbeat for" in night.get(f"/flow_runs/{flow_run}")["state"]["message"]
    assert [status for status, _ in events_of(store, run_id)] == ["started"]
    done = agree(str(store), "lost")
    assert (done.interrupted, done.resumed) == ([run_id], [run_id])
    assert [status for status, _ in events_of(store, run_id)] == ["started", "interrupted"]
    assert night.get(f"/flow_runs/{flow_run}")["state"]["name"] == "AwaitingRetry"
    assert agree(str(store), "lost").as_dict() == {
        "interrupted": [], "closed": [], "reopened": [], "resumed": []
    }  # fmt: skip
