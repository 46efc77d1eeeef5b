"""The files and folders that settings name, which each host of a worker must have at the same path."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from molbuffer.flows.errors import UsageError
from molbuffer.flows.settings import Settings, marked, tables
from molbuffer.kinds import FileName, FolderName

_NAMES_A_MODULE = ("function", "object")


@dataclass(frozen=True)
class LocalFile:
    """A file or folder that settings name.

    Attributes:
        key: the key that names it.
        path: its absolute path.
    """

    key: str
    path: Path

    @property
    def text(self) -> str:
        """The path and the key as a text."""
        return f"{self.path} (key `{self.key}`)"


def local_files(settings: Mapping[str, Any]) -> list[LocalFile]:
    """Return the files and folders that the settings name, each once, whether they exist on this host or not.

    Installed modules are left out, and so are policies, which the store keeps.
    """
    found: dict[Path, LocalFile] = {}
    for table in tables(settings, Settings):
        for path, name, _ in marked(table, FileName):
            found.setdefault(Path(name), LocalFile(_key(path), Path(name)))
        for path, name, _ in marked(table, FolderName):
            for each in _in_folder(table.data, path[-1], Path(name)):
                found.setdefault(each, LocalFile(_key(path), each))
    return list(found.values())


def _key(path: Any) -> str:
    return ".".join(map(str, path))


def _in_folder(data: Mapping[str, Any], key: Any, folder: Path) -> Iterator[Path]:
    """Yield the files that a table uses from its key ``folder``: modules, ``files``, and arguments of a command.

    For any other key, yield the folder itself.
    """
    if key != "folder":
        yield folder
        return
    named = [data[each] for each in _NAMES_A_MODULE if isinstance(data.get(each), str)]
    for name in [*named, *(data.get("models") or ())]:
        module = folder.joinpath(*str(name).partition(":")[0].split("."))
        yield from (each for each in (module.with_suffix(".py"), module) if each.exists())
    for name in [*(data.get("files") or ()), *_words(data.get("command"))]:
        if (folder / str(name)).exists():
            yield folder / str(name)


def _words(command: Any) -> list[str]:
    return command.split() if isinstance(command, str) else [str(each) for each in command or ()]


def refuse_missing(settings: Mapping[str, Any]) -> None:
    """Refuse settings that name files that this host lacks, before anything is drawn.

    Raises:
        UsageError: the settings name such files.
    """
    missing = [each.text for each in local_files(settings) if not each.path.exists()]
    if missing:
        raise UsageError(
            f"this host, {platform.node()}, lacks files that the settings name: {', '.join(missing)}. Copy them to the "
            "same paths here, run the worker on a host that has them, or name paths in the TOML file that all hosts "
            "share, and deploy again"
        )
