"""Whether Prefect's settings name a server, found without importing Prefect, which takes more than a second.

Prefect 3 takes a setting from the first of these that has it (``prefect.settings.sources``):

    environment       PREFECT_API_URL, in any case
    .env              PREFECT_API_URL, in any case
    prefect.toml      [api] url
    pyproject.toml    [tool.prefect.api] url
    profiles.toml     PREFECT_API_URL of the active profile, which PREFECT_PROFILE names, or the key ``active``

The first four are of the working folder. The profiles are where PREFECT_PROFILES_PATH or ``profiles_path`` of the two
TOML files says, in PREFECT_HOME, or in ``~/.prefect``.

Where it is in doubt a server counts as named, so that Prefect itself decides: a file that cannot be read, a key of
Prefect Cloud without an address, a profile of the user's that has no address.
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
"""The profile that Prefect 3 has where nobody chose one, and that of Prefect 2: they name no server by themselves."""


def server_is_configured() -> bool:
    """Return whether the flows of this process would run on a server that somebody has chosen.

    A program that has imported Prefect, such as a flow or a test, has set it up.
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
        # Prefect says what is wrong with the file.
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
    """Return whether a source names a server; None where it says nothing of one. An empty address is that of none."""
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
    # A folder may have a file's name: that of a virtual environment is often .env.
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _table(data: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """Return a table within others; empty where there is none."""
    for name in names:
        data = data.get(name, {})
        if not isinstance(data, Mapping):
            raise ValueError(f"expected a table {name}, got {data!r}")
    return data
