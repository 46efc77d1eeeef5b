"""Staged builds: one process makes a build and leaves it in the store, and another process commits it.

A staged build is a folder beside the segments, which no row names:

    arrays/<name>/            a segment with the arrays of the build
    arrays/<name>/build.json  the rest of the build: strings, rewards, scores, metrics, provenance

A staged build is invisible until it is committed. If a process is killed and leaves one behind, a vacuum removes it
like any unfinished segment.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, get_type_hints
from uuid import UUID, uuid4

import numpy as np

from molbuffer.storage.backends import unwritten
from molbuffer.storage.errors import ArraysError
from molbuffer.storage.files import Sync, delete, on_disk, write_private
from molbuffer.storage.layout import Layout
from molbuffer.storage.records import Build, Samples
from molbuffer.storage.segments import read_segment, write_segment

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_RECORD = "build.json"


def stage_build(layout: Layout, build: Build, sync: Sync) -> str:
    """Write a build beside the segments of a store, and return its name, by which any process can read it.

    Raises:
        StoreWriteError: the disk is full or failed.
    """
    name = uuid4().hex
    folder = layout.arrays / name
    said = {field.name: getattr(build, field.name) for field in fields(Build) if field.name != "samples"}
    said["samples"] = {field.name: getattr(build.samples, field.name) for field in fields(Samples)}
    del said["samples"]["rows"]
    try:
        write_segment(folder, [build.samples.rows])
        write_private(folder / _RECORD, json.dumps(said, default=_plain).encode())
        sync(on_disk([folder / _RECORD, folder]))
    except OSError as error:
        raise unwritten(layout.root, error) from error
    return name


def read_staged(layout: Layout, name: str) -> Build:
    """Return a staged build.

    Raises:
        ArraysError: the staged build is missing or damaged.
    """
    folder = layout.arrays / name
    try:
        said: dict[str, Any] = json.loads((folder / _RECORD).read_bytes())
        of_samples = _validated(Samples, said.pop("samples"))
        samples = Samples(rows=read_segment(folder), **of_samples)
        return Build(samples=samples, **_validated(Build, said))
    except (OSError, ValueError, KeyError) as error:
        raise ArraysError(f"the staged build {name} is missing or damaged: {error}; have it made again") from error


def drop_staged(layout: Layout, name: str) -> None:
    """Remove a staged build; do nothing if it does not exist.

    Raises:
        ValueError: the name does not have the form of the name of a staged build.
    """
    if UUID(name).hex != name:
        raise ValueError(f"got {name!r}, expected the name of a staged build")
    delete(layout.arrays / name)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"a build cannot hold {value!r}")


def _validated(record: type, said: Mapping[str, Any]) -> dict[str, Any]:
    adapters = _adapters(record)
    return {name: adapters[name].validate_python(value) for name, value in said.items()}


@cache
def _adapters(record: type) -> Mapping[str, TypeAdapter[Any]]:
    from pydantic import TypeAdapter

    hints = get_type_hints(record)
    return {name: TypeAdapter(hint) for name, hint in hints.items() if name not in ("samples", "rows")}
