"""Configurations that come with the package, each for one purpose, by name."""

from __future__ import annotations

import importlib.resources
from pathlib import Path


def preset_names() -> tuple[str, ...]:
    """Return the names of the presets."""
    files = importlib.resources.files(__name__).iterdir()
    return tuple(sorted(Path(file.name).stem for file in files if file.name.endswith(".toml")))


def preset_text(name: str) -> str:
    """Return the configuration of a preset.

    Raises:
        KeyError: there is none of the name.
    """
    if name not in preset_names():
        raise KeyError(name)
    return importlib.resources.files(__name__).joinpath(f"{name}.toml").read_text(encoding="utf-8")


def configuration_file(path: Path) -> Path:
    """Return the file of a preset for its name, where no file has that name; any other path as it is."""
    if path.exists() or str(path) not in preset_names():
        return path
    return Path(str(importlib.resources.files(__name__).joinpath(f"{path}.toml")))
