"""The files and folders that settings name: each host of a worker must have them, at the same place."""

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
        """The file for people."""
        return f"{self.path} (key `{self.key}`)"


def local_files(settings: Mapping[str, Any]) -> list[LocalFile]:
    """Return the files and folders that the settings name, each once, whether they exist here or not.

    Modules that are installed are none of them, and neither are policies, which the store keeps.
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
    """Yield what a table takes from a folder: modules, files beside them, arguments of a command; else the folder."""
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
    """Refuse settings that name what this host lacks, before anything is drawn.

    Raises:
        UsageError: they do.
    """
    missing = [each.text for each in local_files(settings) if not each.path.exists()]
    if missing:
        raise UsageError(
            f"this host, {platform.node()}, has not what the settings name: {', '.join(missing)}. Copy it to the same "
            "place here, run this worker where it is, or name a place in the TOML file that all hosts share, and "
            "deploy again"
        )
