"""The source of a user's function or class: the modules that it consists of, as they were when they were read.

A user's module, and the modules that it imports, are found in one folder, that of the configuration. They are read
once and hashed, and none of them runs. A worker process imports the text that was read, even if the files have changed
since. Installed packages are part of the source by their versions; modules of the standard library are left out.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import json
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.abc import ExecutionLoader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

from molbuffer.kinds.errors import SourceError


@dataclass(frozen=True)
class ModuleSource:
    """A module as it was read.

    Attributes:
        path: the file of the module.
        text: the source text.
        folders: the folders of the submodules; None if the module is no package.
    """

    path: str
    text: str
    folders: tuple[str, ...] | None = None


@dataclass(frozen=True)
class PythonSource:
    """The source of a module with all that it imports.

    Attributes:
        folder: the folder of the import path that has the module.
        modules: the modules in that folder, by name. For an installed module, only the module itself, or nothing if it
            has no Python source.
        packages: the versions of the installed packages that the modules import, by the name of the import.
    """

    folder: str
    modules: Mapping[str, ModuleSource]
    packages: Mapping[str, str]

    @property
    def sha256(self) -> str:
        """The sha256 of the texts of all modules and of the versions of the packages."""
        texts = {name: module.text for name, module in self.modules.items()}
        content = json.dumps([texts, dict(self.packages)], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()


@cache
def read_source(module: str, folder: str) -> PythonSource:
    """Return the source of a module that is in a folder, or installed.

    The source is read once in a process, like an import: a run makes its components repeatedly, while the user may edit
    the file for the next run. After ``read_source.cache_clear()`` it is read again.

    Raises:
        SourceError: there is no such module, or its source cannot be parsed.
    """
    if not all(part.isidentifier() for part in module.split(".")):
        raise SourceError(f"{module!r} is no name of a module")
    root = _root_of(module, folder)
    modules: dict[str, ModuleSource] = {}
    elsewhere: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in modules or name in elsewhere:
            continue
        # An installed module is read itself; everything that it imports counts by its version.
        found = _local(name, root) if name == module or not _is_installed(root) else None
        if found is None:
            elsewhere.add(name)
        else:
            modules[name] = found
            # The import of a module also imports its parent packages.
            waiting += [name.rpartition(".")[0]] if "." in name else []
            waiting += _imports(name, found)
    tops = {name.partition(".")[0] for name in elsewhere}
    if not _is_installed(root):
        tops -= {name.partition(".")[0] for name in modules}
    versions = {name: text for name in sorted(tops) if (text := _version(name)) is not None}
    return PythonSource(root, dict(sorted(modules.items())), versions)


def _root_of(module: str, folder: str) -> str:
    """Return the folder of the import path that has a module: the given folder, or else the first that has it.

    Raises:
        SourceError: no folder has the module, or a file of the given folder has the name of a standard module.
    """
    top = module.partition(".")[0]
    beside = PathFinder.find_spec(top, [folder])
    if beside is not None and top not in sys.stdlib_module_names:
        return folder
    if beside is not None and not _is_installed(folder):
        raise SourceError(
            f"the module {top!r} in {folder} has the name of one of Python's standard library, which is imported "
            "instead of it; rename the file"
        )
    spec = sys.modules[top].__spec__ if top in sys.modules else PathFinder.find_spec(top)
    if spec is not None and spec.origin is not None and Path(spec.origin).is_absolute():
        place = Path(spec.origin).parent
        return str(place.parent if spec.submodule_search_locations is not None else place)
    if spec is not None and spec.submodule_search_locations:
        return str(Path(next(iter(spec.submodule_search_locations))).parent)
    if top in sys.builtin_module_names:
        return sysconfig.get_path("stdlib")
    raise SourceError(f"there is no module {module!r} in {folder}, where the configuration is, nor is it installed")


@cache
def _is_installed(folder: str) -> bool:
    """Return whether a folder has installed packages or the standard library, rather than a user's modules."""
    places = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    parts = Path(folder).parts
    return "site-packages" in parts or "dist-packages" in parts or any(Path(folder).is_relative_to(p) for p in places)


def _local(name: str, folder: str) -> ModuleSource | None:
    """Return a module of a folder as it is now.

    Return None if the folder has no such module with Python source, or if a standard module of this name hides it.

    Raises:
        SourceError: the file cannot be read or decoded.
    """
    if name.partition(".")[0] in sys.stdlib_module_names and not _is_installed(folder):
        return None
    folders: Sequence[str] | None = [folder]
    spec: ModuleSpec | None = None
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        # PathFinder, asked for one part at a time, imports nothing; importlib.util.find_spec would import the packages.
        spec = PathFinder.find_spec(".".join(parts[:end]), folders) if folders is not None else None
        if spec is None:
            return None
        folders = None if spec.submodule_search_locations is None else list(spec.submodule_search_locations)
    inside = None if folders is None else tuple(folders)
    if spec is None or spec.origin is None:
        return None if inside is None else ModuleSource(inside[0], "", inside)
    if not spec.origin.endswith(".py"):
        return None
    try:
        return ModuleSource(spec.origin, importlib.util.decode_source(Path(spec.origin).read_bytes()), inside)
    except (OSError, SyntaxError, UnicodeError) as error:
        raise SourceError(f"module {name!r} cannot be read from {spec.origin}: {error}") from error


def _imports(name: str, source: ModuleSource) -> Iterator[str]:
    """Yield the names that a module imports, also within functions; some may be attributes rather than modules."""
    try:
        tree = ast.parse(source.text, source.path)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise SourceError(f"module {name!r} cannot be read: {error}") from error
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = name.split(".") if source.folders is not None else name.split(".")[:-1]
                above = package[: len(package) - node.level + 1]
                base = ".".join([*above, *([node.module] if node.module else [])])
            if base:
                yield base
                yield from (f"{base}.{alias.name}" for alias in node.names if alias.name != "*")


@cache
def _distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


def _version(package: str) -> str | None:
    """Return the names and versions of the packages installed under the name of an import.

    Return None for the standard library, and for a name that no installed package has.
    """
    if package in sys.stdlib_module_names:
        return None
    return (
        ", ".join(
            f"{name} {importlib.metadata.version(name)}" for name in sorted(set(_distributions().get(package, ())))
        )
        or None
    )


class _Importer(MetaPathFinder, ExecutionLoader):
    """An importer that loads modules from the text that was read, in preference to the files."""

    def __init__(self, modules: Mapping[str, ModuleSource]) -> None:
        self._modules = modules

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        source = self._modules.get(name)
        if source is None:
            return None
        places = None if source.folders is None else list(source.folders)
        return importlib.util.spec_from_file_location(name, source.path, loader=self, submodule_search_locations=places)

    def get_source(self, name: str) -> str:
        return self._modules[name].text

    def get_filename(self, name: str) -> str:
        return self._modules[name].path


def install_source(source: PythonSource) -> None:
    """Make this process import the modules of a source from the text that was read.

    Other modules of the folder are imported from their files.

    Raises:
        SourceError: this process has already imported another module of the same name.
    """
    for name, module in source.modules.items():
        there = sys.modules.get(name)
        if there is not None and _text_of(there) != module.text:
            raise SourceError(
                f"this process has already imported another module {name!r} ({getattr(there, '__file__', None)}), "
                f"expected that of {module.path}; start a new process, or rename the module"
            )
    if source.folder not in sys.path:
        sys.path.append(source.folder)
    sys.meta_path.insert(0, _Importer(source.modules))


def refuse_hiding(source: PythonSource) -> None:
    """Refuse a user's modules that would hide installed packages in this process.

    Raises:
        SourceError: a module has the name of an installed package.
    """
    if _is_installed(source.folder):
        return
    installed = list(dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib")))
    for name in sorted({name.partition(".")[0] for name in source.modules}):
        if PathFinder.find_spec(name, installed) is not None:
            raise SourceError(
                f"the module {name!r} in {source.folder} has the name of an installed package, which it would hide "
                "from all other code in this process; rename the file"
            )


def _text_of(module: ModuleType) -> str | None:
    loader = getattr(module, "__loader__", None)
    try:
        text: str | None = loader.get_source(module.__name__) if loader is not None else None
    except (AttributeError, ImportError, OSError):
        return None
    return "" if text is None else text
