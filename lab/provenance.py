"""The provenance of a run: the code, the libraries, the machine and the user."""

from __future__ import annotations

import getpass
import json
import os
import platform
import shutil
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from molbuffer.scoring import Objective, WeightedComponent, stored_form
from molbuffer.storage import ObjectiveComponent, ObjectiveDefinition, Run, RunKind

LIBRARIES = (
    "molbuffer",
    "torch",
    "transformers",
    "tokenizers",
    "rdkit",
    "duckdb",
    "zarr",
    "polars",
    "prefect",
    "numpy",
)
"""The libraries whose versions are recorded, since results may depend on them."""


@cache
def code_version() -> str:
    """Return the version of the package; for a git checkout with the commit, and ``-dirty`` if files are changed."""
    released = library_versions()["molbuffer"]
    root, git = Path(__file__).resolve().parents[1], shutil.which("git")
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
    """Return the installed version of each library that results may depend on."""
    return {name: _installed_version(name) for name in LIBRARIES} | {"python": platform.python_version()}


def _installed_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def host_and_user() -> tuple[str, str]:
    """Return the name of this machine and of the user of the process."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may run under a user id without a name
        user = str(os.getuid())
    return platform.node(), user


def described_run(
    run_id: str, name: str, kind: RunKind, config: str, seed: int, *, objective: Objective | None = None, **more: Any
) -> Run:
    """Return the record of a run of this process.

    Args:
        run_id: the id of the run.
        name: the name of the run, for people.
        kind: the kind of run.
        config: the configuration as JSON.
        seed: the seed of its draws.
        objective: the objective of the run, whose components are recorded with it.
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
        objective_sha256=None if objective is None else objective.sha256,
        definition=None if objective is None else objective_definition(objective),
        **more,
    )


def described_import(run_id: str, name: str, config: str, objective: Objective) -> Run:
    """Return the record of a run that imports scores in this process."""
    return described_run(run_id, name, RunKind.IMPORT, config, 0, objective=objective)


def objective_definition(objective: Objective) -> ObjectiveDefinition:
    """Return the record of an objective for a store."""
    parts = [
        ObjectiveComponent(
            component=part.component.name,
            version=part.component.version,
            weight=part.weight,
            transform=json.dumps(part.transform.settings(), sort_keys=True),
            gate=_gate(objective, part),
            pessimism=part.pessimism,
        )
        for part in objective.components
    ]
    return ObjectiveDefinition(str(objective.aggregation), parts)


def _gate(objective: Objective, part: WeightedComponent) -> str | None:
    """Return the record of the gate of a component as JSON; None for a component without a gate."""
    if part.gate is None:
        return None
    alternatives = stored_form(objective.open_where[part.component.name])
    recorded = {"after": part.gate.text, "otherwise": part.otherwise, "alternatives": alternatives}
    return json.dumps(recorded, sort_keys=True)
