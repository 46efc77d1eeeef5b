"""Presets: configurations for one purpose each that come with the package, by name."""

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
        KeyError: no preset has this name.
    """
    if name not in preset_names():
        raise KeyError(name)
    return importlib.resources.files(__name__).joinpath(f"{name}.toml").read_text(encoding="utf-8")


def configuration_file(path: Path) -> Path:
    """Return the file of a preset if the path is its name and no such file exists; else return the path unchanged."""
    if path.exists() or str(path) not in preset_names():
        return path
    return Path(str(importlib.resources.files(__name__).joinpath(f"{path}.toml")))
