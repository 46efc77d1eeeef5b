"""The package as a wheel installs it, used from a folder whose files and folders have the names of our rooms; and
``prefect.yaml`` with it: deployed to a real server, scheduled, and built by a worker."""

import os
import subprocess
import sys
import sysconfig
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from molbuffer.storage import SampleStore

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("exchange", "flows", "kinds", "lab", "pages", "samplers", "scoring", "storage", "training")
PATIENCE_SECONDS = 600

NIGHT = """
import os
import signal
from pathlib import Path

from molbuffer.flows.build_buffer import build

FOLDER = Path.cwd()


def score(smiles):
    os.kill(os.getpid(), signal.SIGKILL)


def tell(flow, flow_run, state):
    (FOLDER / "hook-ran").write_text(state.type.value)


nightly = build.with_options(name="nightly", on_crashed=[tell])
"""

END = "-- the end of a command --"
EACH = f"""
import runpy, sys
for words in {{commands}}:
    sys.argv[1:] = words
    try:
        runpy.run_path({{script!r}}, run_name="__main__")
    except SystemExit as end:
        assert not end.code, (words, end)
    print("{END}", flush=True)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # A copy, so that nothing is left in the checkout; links are kept as links.
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    source = folder / "source"
    for name in filter(None, listed.stdout.split("\0")):
        if name.startswith(("tests/", "docs/", "benchmarks/")) or not os.path.lexists(ROOT / name):
            continue
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_symlink():
            (source / name).symlink_to(os.readlink(ROOT / name))
        else:
            (source / name).write_bytes((ROOT / name).read_bytes())
    make = [
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        str(folder),
        str(source),
    ]
    done = subprocess.run([sys.executable, *make], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (made,) = folder.glob("molbuffer-*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a new environment that has the wheel, and the libraries of this one."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    # A path in a .pth file is searched, but its own .pth files are not read: the checkout stays out.
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = ["-m", "pip", "--python", str(folder), "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    done = subprocess.run([sys.executable, *install], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "bin"


@pytest.fixture
def crowded(tmp_path: Path) -> Path:
    """A working folder with packages and a module that are called as our rooms are."""
    folder = tmp_path / "work"
    for room in ROOMS:
        (folder / room).mkdir(parents=True)
    for room in ("samplers", "storage"):
        (folder / room / "__init__.py").write_text("")
    (folder / "scoring.py").write_text("raise RuntimeError('a file of the user was imported instead of ours')\n")
    return folder


def run_among(folder: Path, *command: str | Path, **environment: str) -> str:
    """Runs a program in a folder; gives what it prints."""
    done = subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_wheel_has_the_one_package_and_all_of_its_rooms(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"molbuffer"}
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", *ROOMS], check=True, capture_output=True, text=True).stdout
    shipped = (".json", ".md", ".py", ".pyi", ".safetensors", ".toml", ".typed")
    expected = {f"molbuffer/{name}" for name in listed.split() if name.endswith(shipped)}
    assert expected - set(names) == set()
    assert "molbuffer/py.typed" in names


def test_the_steps_of_the_demonstration_run_among_files_named_as_our_rooms(
    installed: Path, crowded: Path, tiny_config: Path, with_server: dict[str, str]
) -> None:
    store = ("--store", "storage/lab")
    # In one process, which imports torch, Polars and Prefect once; the script that it runs is the command.
    commands = [
        ["run", str(tiny_config), *store],
        ["init", "--store", "storage/other"],
        ["config", "check", str(tiny_config)],
        ["offline", str(tiny_config), *store],
        ["runs", *store],
        ["query", *store, "--format", "csv", "SELECT count(*) > 24 FROM samples"],
        ["top", *store],
    ]
    program = EACH.format(script=str(installed / "molbuffer"), commands=commands)
    said = run_among(crowded, installed / "python", "-P", "-c", program, **with_server).split(END)
    assert len(said) == len(commands) + 1
    assert "finished" in said[4]
    assert said[5].endswith("true\n")
    assert said[6]


def wait_until(happened: Callable[[], bool], what: str, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not happen:\n{log.read_text()}")
        time.sleep(0.3)


def test_deployments_run_through_a_worker_when_scheduled_and_when_asked_for_and_the_hook_of_a_crash_loads(
    installed: Path, crowded: Path, tiny_config: Path, services: ModuleType
) -> None:
    port, modules, log = services.free_port(), crowded.parent / "modules", crowded.parent / "processes.log"
    modules.mkdir()
    (modules / "night.py").write_text(NIGHT)
    deadly = crowded.parent / "deadly.toml"
    deadly.write_text(
        tiny_config.read_text().replace('kind = "qed"', 'kind = "python"\nfunction = "night:score"\nin_process = true')
    )
    nightly = crowded.parent / "nightly"
    prefect = [installed / "python", "-m", "prefect"]
    api = f"http://127.0.0.1:{port}/api"
    environment = os.environ | {
        "PREFECT_HOME": str(crowded.parent / "prefect"),
        "PREFECT_API_URL": api,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "2",
        "PYTHONPATH": str(modules),
    }
    how: dict[str, Any] = {"cwd": crowded, "env": environment}

    def healthy() -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(f"{api}/health", timeout=2).is_success
        return False

    def deploy(*words: str, config: Path, store: Path | str, folder: Path = crowded) -> None:
        parameters = ("--param", f"config={config}", "--param", f"store={store}")
        run_among(folder, *prefect, "--no-prompt", "deploy", *words, *parameters, **environment)

    def ask_for(flow: str, name: str) -> None:
        found = httpx.get(f"{api}/deployments/name/{flow}/{name}", timeout=600).raise_for_status().json()["id"]
        state = {"state": {"type": "SCHEDULED"}}

        def taken() -> bool:
            answer = httpx.post(f"{api}/deployments/{found}/create_flow_run", json=state, timeout=600)
            # Its database is busy, and it says that it can be asked again, as its own clients do.
            return answer.status_code != httpx.codes.SERVICE_UNAVAILABLE and bool(answer.raise_for_status())

        wait_until(taken, f"the request for a run of {name}", log)

    with services.process_group(
        *prefect, "server", "start", "--host", "127.0.0.1", "--port", str(port), log=log, **how
    ):
        wait_until(healthy, "the start of the server", log)
        pool = {"name": "molbuffer", "type": "process"}
        httpx.post(f"{api}/work_pools/", json=pool, timeout=600).raise_for_status()
        deploy(
            "molbuffer.flows.build_buffer.build", "--name", "ours", "--pool", "molbuffer",
            config=tiny_config, store="storage/ours",
        )  # fmt: skip
        deploy("night.nightly", "--name", "deadly", "--pool", "molbuffer", config=deadly, store="storage/deadly")
        # The schedule of prefect.yaml comes at night; the test's comes at once.
        deploy("--name", "nightly-build", "--interval", "20", config=tiny_config, store=nightly, folder=ROOT)
        with services.process_group(*prefect, "worker", "start", "--pool", "molbuffer", log=log, **how):
            ask_for("build_buffer", "ours")
            ask_for("nightly", "deadly")
            wait_until((crowded / "hook-ran").exists, "the hook of the flow that crashed", log)
            for folder in (crowded / "storage/ours", nightly):
                wait_until((folder / "store.toml").exists, f"the build in {folder}", log)
                wait_until(lambda folder=folder: kept(folder) >= 24, f"the commit of the build in {folder}", log)
    assert (crowded / "hook-ran").read_text() == "CRASHED"
    assert "failed to retrieve flow" not in log.read_text()
    assert kept(crowded / "storage/ours") == 24
    with SampleStore.open(nightly, read_only=True) as store:
        builds = store.query("SELECT kind, flow_run_id FROM builds JOIN runs USING (run_id)")
    assert builds["kind"][0] == "build"
    assert builds["flow_run_id"][0] is not None


def kept(folder: Path) -> int:
    with SampleStore.open(folder, read_only=True) as store:
        return int(store.read_arrow("SELECT count(*) AS n FROM {samples} WHERE kept")["n"][0].as_py())
