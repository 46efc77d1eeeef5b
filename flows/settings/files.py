"""The files of molecules that a configuration names, looked into before a run is: whether they hold what is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from molbuffer.flows.settings.problems import Problem
from molbuffer.flows.settings.references import sampler_tables
from molbuffer.flows.settings.toml_lines import KeyPath

COLUMN_KEYS: Mapping[str, tuple[str, Mapping[str, str | None]]] = {
    "dataset": ("path", {"column": None}),
    "latent": ("molecules", {"column": None}),
    "pair_dataset": ("path", {"source_column": "source", "target_column": "target"}),
}
"""By the kind of sampler: the key of its file, and those of the columns with their defaults."""


def unusable_files(data: Mapping[str, Any]) -> Iterator[Problem]:
    """The files that are there and that no molecule can be read of: of another format, empty, or without a column.

    Only their beginning is read. What is no text, or names no file, is reported elsewhere.
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
    from molbuffer.samplers.errors import SmilesFileError
    from molbuffer.samplers.files.text_files import read_columns

    try:
        next(read_columns(file, columns))
    except SmilesFileError as error:
        yield Problem(path, str(error))
