"""Find out whether Prefect's settings name a server, without the import of Prefect, which takes more than a second.

Prefect 3 takes a setting from the first of these sources that has it (``prefect.settings.sources``):

    environment       PREFECT_API_URL, in any case
    .env              PREFECT_API_URL, in any case
    prefect.toml      [api] url
    pyproject.toml    [tool.prefect.api] url
    profiles.toml     PREFECT_API_URL of the active profile, which PREFECT_PROFILE names, or the key ``active``

The three files after the environment are in the working folder. The path of profiles.toml comes from
PREFECT_PROFILES_PATH or from ``profiles_path`` in one of the two TOML files; by default the file is in PREFECT_HOME or
in ``~/.prefect``.

In doubtful cases a server counts as named, so that Prefect itself decides: a file cannot be read, a key of Prefect
Cloud has no address, or a profile that the user chose has no address.
"""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_DOT_ENV = re.compile(
    r"""^\s*(export\s+)?['"]?PREFECT_(API|API_URL|API_KEY|PROFILES_PATH)['"]?\s*=""", re.IGNORECASE | re.MULTILINE
)
_PLAIN_PROFILES = ("ephemeral", "default")
"""The default profiles of Prefect 3 and Prefect 2, which name no server unless the user has set one in them."""


def server_is_configured() -> bool:
    """Return whether the flows of this process would run on a server that the user has configured.

    If Prefect has been imported already, as in a flow or a test, its settings count as configured.
    """
    return "prefect" in sys.modules or names_a_server(os.environ, Path())


def names_a_server(environment: Mapping[str, str], folder: Path) -> bool:
    """Return whether Prefect's settings name a server, or may do so.

    Args:
        environment: the variables of the process.
        folder: its working folder.

    Examples:
        >>> names_a_server({"PREFECT_API_URL": "http://127.0.0.1:4200/api"}, Path())
        True
        >>> names_a_server({"PREFECT_API_URL": ""}, Path())
        False
    """
    try:
        return _names_a_server(environment, folder)
    except (OSError, ValueError):
        # Prefect reports what is wrong with the file.
        return True


def _names_a_server(environment: Mapping[str, str], folder: Path) -> bool:
    variables = {name.upper(): value for name, value in environment.items()}
    if (said := _said(variables, "PREFECT_API_URL", "PREFECT_API_KEY", "PREFECT_API")) is not None:
        return said
    if _DOT_ENV.search(_text(folder / ".env")):
        return True
    tables = (
        tomllib.loads(_text(folder / "prefect.toml")),
        _table(tomllib.loads(_text(folder / "pyproject.toml")), "tool", "prefect"),
    )
    for table in tables:
        if (said := _said(_table(table, "api"), "url", "key")) is not None:
            return said
    return _profile_names_a_server(environment, folder / _profiles_path(environment, tables))


def _said(settings: Mapping[str, Any], url: str, *doubtful: str) -> bool | None:
    """Return whether a source names a server; None if it has no such setting. An empty address means no server."""
    if url in settings:
        return bool(settings[url])
    return True if any(settings.get(name) for name in doubtful) else None


def _profiles_path(environment: Mapping[str, str], tables: tuple[Mapping[str, Any], ...]) -> Path:
    for path in (environment.get("PREFECT_PROFILES_PATH"), *(table.get("profiles_path") for table in tables)):
        if path:
            return Path(str(path))
    return Path(environment.get("PREFECT_HOME") or os.path.expanduser("~/.prefect")) / "profiles.toml"


def _profile_names_a_server(environment: Mapping[str, str], path: Path) -> bool:
    data = tomllib.loads(_text(path))
    name = environment.get("PREFECT_PROFILE") or data.get("active")
    if not name:
        return False
    said = _said(_table(data, "profiles", str(name)), "PREFECT_API_URL", "PREFECT_API_KEY")
    return name not in _PLAIN_PROFILES if said is None else said


def _text(path: Path) -> str:
    # The path may be a folder: a virtual environment is often named .env.
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _table(data: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """Return a nested table of a TOML document; an empty one if it is missing."""
    for name in names:
        data = data.get(name, {})
        if not isinstance(data, Mapping):
            raise ValueError(f"expected a table {name}, got {data!r}")
    return data
