"""What tests of the store share: runs and builds, and processes that write."""

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from storage import SampleStore

SCRIPT = Path(__file__).with_name("writer_process.py")


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("writer_process", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def make() -> ModuleType:
    """``make.run``-style helpers of writer_process.py: make_run, make_samples, make_build."""
    return _load()


@pytest.fixture
def started(store: SampleStore, make: ModuleType) -> SampleStore:
    """A store in which run-1 has started."""
    store.start_run(make.make_run())
    return store


@pytest.fixture
def writer() -> Callable[..., subprocess.Popen[str]]:
    """Starts a process that writes; see writer_process.py for the roles."""
    processes: list[subprocess.Popen[str]] = []

    def start(role: str, store: Path, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-W", "error", str(SCRIPT), role, str(store), *map(str, arguments)]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def maintainer() -> Callable[..., subprocess.Popen[str]]:
    """Starts a process that maintains or reads; see maintenance_process.py for the roles."""
    processes: list[subprocess.Popen[str]] = []
    script = Path(__file__).with_name("maintenance_process.py")

    def start(role: str, store: Path, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-W", "error", str(script), role, str(store), *map(str, arguments)]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()
