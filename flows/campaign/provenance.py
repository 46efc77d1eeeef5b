"""The provenance of a run: its identity under Prefect, the code, the libraries, the machine and the user."""

from __future__ import annotations

import getpass
import os
import platform
import shutil
import subprocess
import uuid
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from prefect import runtime

from molbuffer.storage.records import Run, RunKind

LIBRARIES = ("molbuffer", "torch", "rdkit", "duckdb", "zarr", "polars", "prefect", "numpy")
"""What a run's results may depend on."""


@cache
def code_version() -> str:
    """The package's version, and for a git checkout the commit, with ``-dirty`` when files were changed since."""
    released = library_versions()["molbuffer"]
    root, git = Path(__file__).resolve().parents[2], shutil.which("git")
    if git is None or not (root / ".git").exists():
        return released
    described = subprocess.run(
        [git, "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"{released}+g{described.stdout.strip()}" if described.returncode == 0 else released


@cache
def library_versions() -> dict[str, str]:
    """The installed version of each library that results may depend on."""
    return {name: _installed_version(name) for name in LIBRARIES} | {"python": platform.python_version()}


def _installed_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def host_and_user() -> tuple[str, str]:
    """The name of this machine, and who runs the process."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that has no name
        user = str(os.getuid())
    return platform.node(), user


def current_run_id() -> str:
    """The run_id of the flow run at hand: a retried flow has the same one and so resumes its run."""
    flow_run_id = runtime.flow_run.id
    return uuid.UUID(flow_run_id).hex if flow_run_id else uuid.uuid4().hex


def described_run(run_id: str, name: str, kind: RunKind, config: str, seed: int, **more: Any) -> Run:
    """The record of a run of this process.

    Args:
        run_id: identifies the run.
        name: of the run, for people.
        kind: what the run does.
        config: its configuration as JSON.
        seed: what its draws follow from.
        more: other fields of ``Run``.
    """
    host, user = host_and_user()
    return Run(
        run_id,
        name,
        kind,
        config,
        seed,
        code_version=code_version(),
        libraries=library_versions(),
        host=host,
        user=user,
        **more,
    )
