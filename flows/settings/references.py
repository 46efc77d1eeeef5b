"""The references of a configuration file: files of molecules, policies, and SQL conditions.

Relative paths start at the folder of the file, so that the folder can be moved and shared. The annotations of the kinds
(``molbuffer.kinds.keys``) mark the keys that are references.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from molbuffer.flows.settings.base import DEVICE
from molbuffer.flows.settings.marked_keys import Data, FoundTable, annotations_of, keys_of, marked, model_of, tables
from molbuffer.flows.settings.problems import Problem, did_you_mean, shown
from molbuffer.flows.settings.toml_lines import KeyPath
from molbuffer.kinds import Condition, FileName, FolderName, MoleculeFile, PolicyName, Section
from molbuffer.samplers import BEST, OF_RUN

OWN_POLICIES = ("agent", BEST, "prior")
"""The names, in a sampler's table, of the policy in training, the best agent of the run, and the prior."""

ALWAYS_THERE = ("auto", "cpu")
"""The names of devices that every machine has."""

_SHA256_START = re.compile(r"[0-9a-f]{6,64}")
_POLICY_FILE = "config.json"


def with_absolute_paths(data: Data, folder: Path, model: type[Section]) -> dict[str, Any]:
    """Return a table with its relative paths, and those of the tables inside it, made absolute.

    The paths become absolute because a run may have another working directory than the command that read the file.

    Args:
        data: the table.
        folder: the folder of the configuration file.
        model: the class that checks the table.
    """
    changed = dict(data)
    # The folder of a user's class comes first: the class must be found there before its keys are known.
    for name, field in model.model_fields.items():
        named = changed.get(name, field.default)
        if any(isinstance(each, FolderName) for each in annotations_of(field)) and isinstance(named, str) and named:
            changed[name] = str(_absolute(named, folder))
    for name, field in keys_of(changed, model).items():
        value, marks = changed.get(name), list(annotations_of(field))
        if isinstance(value, str) and value and any(isinstance(each, FileName) for each in marks):
            changed[name] = str(_absolute(value, folder))
        elif isinstance(value, str) and value and any(isinstance(each, PolicyName) for each in marks):
            changed[name] = _absolute_policy(value, folder)
        elif isinstance(value, list):
            changed[name] = [_inner_absolute(each, folder, model_of(field, each)) for each in value]
        elif isinstance(value, Mapping):
            changed[name] = _inner_absolute(value, folder, model_of(field, value))
    return changed


def _inner_absolute(value: Any, folder: Path, model: type[Section] | None) -> Any:
    return value if model is None or not isinstance(value, Mapping) else with_absolute_paths(value, folder, model)


def missing_references(data: Data, model: type[Section]) -> Iterator[Problem]:
    """Yield the files and policies of a configuration that do not exist.

    A name that may be a sha256, or the start of one, is not reported, since the store may have it.
    """
    for table in tables(data, model):
        for path, name, _ in marked(table, FileName):
            if not Path(name).is_file():
                yield Problem(path, f"there is no file {name}")
        for path, name, _ in marked(table, PolicyName):
            yield from _problem_of_policy(path, name)


def not_told(problems: Sequence[Problem], told: Sequence[Problem], data: Data) -> list[Problem]:
    """Return the problems without those that repeat a reported problem of a file in the same table.

    Args:
        problems: the problems.
        told: the reported problems, at the keys of files.
        data: the configuration.
    """
    files = [(each.path[:-1], _value(data, each.path)) for each in told]
    return [
        each
        for each in problems
        if not any(each.path == at and name is not None and str(name) in each.message for at, name in files)
    ]


def _value(data: Any, path: KeyPath) -> Any:
    """Return the value at a path; None if there is none, such as a value that a stage takes from the run's tables."""
    for part in path:
        try:
            data = data[part]
        except (KeyError, IndexError):
            return None
    return data


def _problem_of_policy(path: KeyPath, name: str) -> Iterator[Problem]:
    # Only a sampler can refer to the policies of its own run, and only the policy in training to another run.
    own = OWN_POLICIES if path[0] == "samplers" else ()
    if name in own or (not own and name.startswith(OF_RUN) and name != OF_RUN):
        return
    if Path(name).is_absolute():
        if not (Path(name) / _POLICY_FILE).is_file():
            yield Problem(path, f"there is no policy in {name}: expected a folder with a {_POLICY_FILE}")
        else:
            yield from _refused_policy(Path(name), path)
    elif name not in bundled_names() and not _SHA256_START.fullmatch(name):
        named = f"{', '.join(own)}, a" if own else "a"
        bundled = ", ".join(bundled_names())
        message = f"got {shown(name)}, expected {named} bundled policy ({bundled}), a folder, "
        message += "or a sha256 in the store" if own else f"a sha256 in the store, or {OF_RUN}RUN_ID"
        yield Problem(path, message + did_you_mean(name, (*own, *bundled_names())).removesuffix("."))


def _refused_policy(folder: Path, path: KeyPath) -> Iterator[Problem]:
    # These modules import neither torch nor the libraries of the models.
    from molbuffer.samplers import SamplerError, check_policy_folder

    try:
        check_policy_folder(folder)
    except SamplerError as error:
        yield Problem(path, str(error))


def missing_devices(data: Data) -> Iterator[Problem]:
    """Yield a problem if this machine lacks the configured device; a name that is not valid is reported elsewhere."""
    campaign = data.get("campaign")
    name = campaign.get("device") if isinstance(campaign, Mapping) else None
    if isinstance(name, str) and name not in ALWAYS_THERE and DEVICE.fullmatch(name):
        # The import is here since it loads torch, which only a configuration with another device needs.
        from molbuffer.samplers import SamplerError, find_device

        try:
            find_device(name)
        except SamplerError as error:
            yield Problem(("campaign", "device"), str(error))


def with_policies(data: dict[str, Any], model: type[Section], stored: Callable[[str], str]) -> dict[str, Any]:
    """Replace each folder of a policy in a configuration by ``stored(folder)``; ``data`` is changed in place."""
    named = [each[:2] for table in tables(data, model) for each in marked(table, PolicyName)]
    for (*outer, key), name in named:
        if Path(name).is_absolute():
            table: Any = data
            for part in outer:
                table = table[part]
            table[key] = stored(name)
    return data


@cache
def bundled_names() -> tuple[str, ...]:
    """Return the names of the bundled policies, from their files, because loading a policy imports torch."""
    folders = resources.files("molbuffer.samplers.bundled").iterdir()
    return tuple(sorted(each.name for each in folders if each.joinpath(_POLICY_FILE).is_file()))


def _absolute_policy(name: str, folder: Path) -> str:
    """Return the absolute path of a policy's folder if the name is a path or is next to the file; else the name."""
    if name in (*OWN_POLICIES, *bundled_names()) or name.startswith(OF_RUN):
        return name
    place = _absolute(name, folder)
    return str(place) if "/" in name or (place / _POLICY_FILE).is_file() else name


def _absolute(path: str, folder: Path) -> Path:
    return (folder / Path(path).expanduser()).resolve()


def unusable_files(data: Data, model: type[Section]) -> Iterator[Problem]:
    """Yield a problem for each file without molecules: a wrong format, an empty file, a missing column, or no SMILES.

    Only the beginning of a file is read. Missing files and values of a wrong type are reported elsewhere.
    """
    for table in tables(data, model):
        for path, file, marker in marked(table, MoleculeFile):
            names = {key: _column(table, key) for key in marker.columns}
            named = {} if marker.id_column is None else {marker.id_column: _column(table, marker.id_column)}
            if (
                all(isinstance(each, str | None) for each in (*names.values(), *named.values()))
                and Path(file).is_file()
            ):
                yield from _problem_of(Path(file), names, named, path)


def _column(table: FoundTable, key: str) -> Any:
    return table.data.get(key, keys_of(table.data, table.model)[key].default)


def _problem_of(
    file: Path, columns: Mapping[str, str | None], ids: Mapping[str, str | None], path: KeyPath
) -> Iterator[Problem]:
    """Yield the problem of a file, if any, at the key of the wrong column, or else at the key of the file.

    Args:
        file: the file.
        columns: the columns of molecules, by the keys that name them.
        ids: the column of the rows' ids, by its key; empty for a table without such a key.
        path: the path of the key that names the file.
    """
    # The imports are here since only a configuration with a file needs them.
    from molbuffer.samplers import SmilesFileError, read_columns
    from molbuffer.scoring import standardise_smiles

    try:
        first = next(read_columns(file, list(columns.values()), next(iter(ids.values()), None)))
    except SmilesFileError as error:
        wrong = [] if error.column is None else [error.column or None]
        at_fault = [key for key, name in {**columns, **ids}.items() if name in wrong]
        yield Problem((*path[:-1], at_fault[0]) if at_fault else path, str(error))
        return
    rows = list(zip(*first.columns, strict=True))
    if not any(all(standardise_smiles(text) is not None for text in row) for row in rows):
        yield Problem(path, f"none of the first {len(rows)} rows of {file} is a molecule, such as {shown(rows[0][0])}")


def refused_predicates(data: Data, model: type[Section]) -> Iterator[Problem]:
    """Yield a problem for each SQL condition that is invalid for any history; wrong types are reported elsewhere."""
    for path, where in (each[:2] for table in tables(data, model) for each in marked(table, Condition)):
        if not where.strip():
            continue
        # The import is here since it loads DuckDB, which only a file with a condition needs.
        from molbuffer.storage import QueryError, check_unapplied

        try:
            check_unapplied(where.strip())
        except QueryError as error:
            yield Problem(path, str(error))
