"""The references of a configuration file: files of molecules, policies, and SQL conditions.

Relative paths start at the folder the file is in, so that the folder can be moved and shared.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from molbuffer.flows.settings.problems import Problem, did_you_mean, shown
from molbuffer.flows.settings.toml_lines import KeyPath

OWN_POLICIES = ("agent", "prior")
"""The names of the policy in training, and of the one it started from, in a sampler's table."""

Keys = Mapping[str, tuple[str, ...]]

FILE_KEYS: Keys = {"dataset": ("path",), "latent": ("molecules", "vectors"), "pair_dataset": ("path",)}
"""The keys that name files, by the kind of sampler."""
POLICY_KEYS: Keys = {
    "contrastive": ("output_model",),
    "latent": ("policy",),
    "model": ("policy",),
    "prior": ("policy",),
}
"""The keys that name policies, by the kind of sampler."""
INNER_SAMPLER = "base_sampler"
"""The key of the sampler inside another."""

FUNCTION = "python"
"""The kind of component that is a function of the user."""

_SHA256_START = re.compile(r"[0-9a-f]{6,64}")
_POLICY_FILE = "config.json"


def with_absolute_paths(data: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return a configuration with its relative paths made absolute, from ``folder``.

    A run may happen in another working directory than the one in which the file was read.
    """
    changed = dict(data)
    if isinstance(policy := data.get("policy"), Mapping):
        changed["policy"] = _absolute_policy(policy, "prior", folder)
    if isinstance(samplers := data.get("samplers"), list):
        changed["samplers"] = [_absolute_sampler(table, folder) for table in samplers]
    if isinstance(objective := data.get("objective"), Mapping):
        changed["objective"] = _absolute_objective(objective, folder)
    return changed


def missing_references(data: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the files and policies of a configuration that do not exist.

    A name that may be a sha256, or the start of one, may be in the store, which is not known here.
    """
    for path, name in _named(data, FILE_KEYS):
        if not Path(name).is_file():
            yield Problem(path, f"there is no file {name}")
    for path, name in _policies(data):
        if Path(name).is_absolute():
            if not (Path(name) / _POLICY_FILE).is_file():
                yield Problem(path, f"there is no policy in {name}: expected a folder with a {_POLICY_FILE}")
        elif name not in bundled_names() and not _SHA256_START.fullmatch(name):
            # Only a sampler can refer to the policies of its own run.
            own = OWN_POLICIES if path[0] == "samplers" else ()
            named = f"{', '.join(own)}, a" if own else "a"
            bundled = ", ".join(bundled_names())
            message = (
                f"got {shown(name)}, expected {named} bundled policy ({bundled}), a folder, or a sha256 in the store"
            )
            yield Problem(path, message + did_you_mean(name, (*own, *bundled_names())).removesuffix("."))


@cache
def bundled_names() -> tuple[str, ...]:
    """Return the names of the bundled policies, from their files, because loading a policy imports torch."""
    folders = resources.files("molbuffer.samplers.bundled").iterdir()
    return tuple(sorted(each.name for each in folders if each.joinpath(_POLICY_FILE).is_file()))


def _policies(data: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    policy = data.get("policy")
    if isinstance(policy, Mapping) and isinstance(policy.get("prior"), str):
        yield ("policy", "prior"), policy["prior"]
    yield from ((path, name) for path, name in _named(data, POLICY_KEYS) if name not in OWN_POLICIES)


def sampler_tables(data: Mapping[str, Any]) -> Iterator[tuple[KeyPath, Mapping[str, Any]]]:
    """Yield the tables of samplers, each before those inside it; what is no table is reported elsewhere."""
    samplers = data.get("samplers")
    for i, table in enumerate(samplers if isinstance(samplers, list | tuple) else ()):
        path: KeyPath = ("samplers", i)
        while isinstance(table, Mapping):
            yield path, table
            path, table = (*path, INNER_SAMPLER), table.get(INNER_SAMPLER)


def _named(data: Mapping[str, Any], keys: Keys) -> Iterator[tuple[KeyPath, str]]:
    """Yield the texts under some keys of the samplers; what is no text is reported elsewhere."""
    for path, table in sampler_tables(data):
        yield from (((*path, key), table[key]) for key in _keys(table, keys) if table[key])


def _keys(table: Mapping[str, Any], keys: Keys) -> list[str]:
    """Return those of the keys that a table of its kind has, with a text."""
    kind = table.get("kind")
    return [key for key in keys.get(kind, ()) if isinstance(table.get(key), str)] if isinstance(kind, str) else []


def _absolute_sampler(table: Any, folder: Path) -> Any:
    if not isinstance(table, Mapping):
        return table
    changed = dict(table)
    for key in _keys(table, FILE_KEYS):
        if table[key]:
            changed[key] = str(_absolute(table[key], folder))
    for key in _keys(table, POLICY_KEYS):
        changed = dict(_absolute_policy(changed, key, folder))
    if INNER_SAMPLER in table:
        changed[INNER_SAMPLER] = _absolute_sampler(table[INNER_SAMPLER], folder)
    return changed


def _absolute_objective(objective: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    """Return the objective with the absolute folder of each function of the user."""
    components = objective.get("components")
    if not isinstance(components, list):
        return objective
    return {**objective, "components": [_absolute_component(table, folder) for table in components]}


def _absolute_component(table: Any, folder: Path) -> Any:
    named = table.get("folder", ".") if isinstance(table, Mapping) and table.get("kind") == FUNCTION else None
    return {**table, "folder": str(_absolute(named, folder))} if isinstance(named, str) and named else table


def _absolute_policy(table: Mapping[str, Any], key: str, folder: Path) -> Mapping[str, Any]:
    """Return the table with an absolute path of the policy's folder: one written as a path, or found beside the
    file.
    """
    name = table.get(key)
    if not isinstance(name, str) or not name or name in (*OWN_POLICIES, *bundled_names()):
        return table
    place = _absolute(name, folder)
    return {**table, key: str(place)} if "/" in name or (place / _POLICY_FILE).is_file() else table


def _absolute(path: str, folder: Path) -> Path:
    return (folder / Path(path).expanduser()).resolve()


COLUMN_KEYS: Mapping[str, tuple[str, Mapping[str, str | None]]] = {
    "dataset": ("path", {"column": None}),
    "latent": ("molecules", {"column": None}),
    "pair_dataset": ("path", {"source_column": "source", "target_column": "target"}),
}
"""By the kind of sampler: the key of its file, and those of the columns with their defaults."""


def unusable_files(data: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the files that exist and hold no molecule: of another format, empty, without a column, or with no text that
    is one.

    Only the beginning of a file is read. What is no text, or names no file, is reported elsewhere.
    """
    for path, table in sampler_tables(data):
        kind = table.get("kind")
        if isinstance(kind, str) and kind in COLUMN_KEYS:
            key, columns = COLUMN_KEYS[kind]
            file, names = table.get(key), [table.get(name, default) for name, default in columns.items()]
            if isinstance(file, str) and all(isinstance(each, str | None) for each in names) and Path(file).is_file():
                yield from _problem_of(Path(file), names, (*path, key))


def _problem_of(file: Path, columns: list[str | None], path: KeyPath) -> Iterator[Problem]:
    # Only a configuration with a file pays for the readers of files.
    from molbuffer.samplers import SmilesFileError, read_columns
    from molbuffer.scoring import standardise_smiles

    try:
        rows = list(zip(*next(read_columns(file, columns)).columns, strict=True))
    except SmilesFileError as error:
        yield Problem(path, str(error))
        return
    if not any(all(standardise_smiles(text) is not None for text in row) for row in rows):
        yield Problem(path, f"none of the first {len(rows)} rows of {file} is a molecule, as {shown(rows[0][0])}")


def refused_predicates(data: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the SQL conditions that cannot be applied to any history; what is no text is reported elsewhere."""
    for path, where in _conditions(data):
        # Only a file that has a condition pays for DuckDB.
        from molbuffer.storage import QueryError, check_unapplied

        try:
            check_unapplied(where.strip())
        except QueryError as error:
            yield Problem(path, str(error))


def _conditions(data: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    """Yield the SQL conditions of offline training and of samplers of the history, also inside others."""
    tables: list[tuple[KeyPath, Any]] = [(("offline",), data.get("offline")), *sampler_tables(data)]
    for path, table in tables:
        where = table.get("where") if isinstance(table, Mapping) else None
        if isinstance(where, str) and where.strip():
            yield (*path, "where"), where
