"""Checks that molbuffer could have written the content of an archive, beyond the checks of ``verify`` for every store.

Checksums show that an archive is unchanged; they say nothing about its author. A verification checks that rows, arrays
and policies are consistent. The checks here cover the rest: nothing leads out of the archive, executes code, or leads
to an endless loop, and every id is the hash of its content. Some of these checks come before a verification, which
assumes that every row has a build and a number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from molbuffer.storage.archive.catalog import ArchiveCatalog
from molbuffer.storage.archive.manifest import ARCHIVED_TABLES, strict_json
from molbuffer.storage.archive.problem import Problem
from molbuffer.storage.archive.tables import columns_of
from molbuffer.storage.backends import quote, quote_name
from molbuffer.storage.catalog import MIGRATIONS
from molbuffer.storage.errors import ArchiveFault
from molbuffer.storage.files import Place, entries, plain_file
from molbuffer.storage.records import Event, RunKind, RunStatus, ScoreStatus, make_build_id

_SEGMENT = re.compile(r"[0-9a-f]{32}")
_RUN_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}")
_JSON_BYTES, _JSON_STRUCTURE = 16 << 20, 1 << 20


def wrong_content(archive: ArchiveCatalog) -> Iterator[Problem]:
    """Yield the problems of the content of an archive whose arrays may be decoded."""
    for name, sql in {**_WRONG_ROWS, **_wrong_times()}.items():
        for row in archive.read(f"SELECT subject FROM ({sql}) AS wrong(subject) LIMIT 1").to_pylist():
            yield Problem(ArchiveFault.CONTENT, f"{name} ({row['subject']})")
            # The following checks assume that rows have these forms.
            return
    manifest = archive.manifest
    if (manifest.rows, manifest.builds) != tuple(manifest.tables.get(name, 0) for name in ("samples", "builds")):
        said = f"it has other rows and builds than {manifest.rows} and {manifest.builds}"
        yield Problem(ArchiveFault.ROWS, said)
    yield from (Problem(ArchiveFault.NAME, said) for said in _wrong_names(archive))
    lineage = archive.read("SELECT sha256, parent_sha256 FROM {policies}").to_pylist()
    if (policy := find_circle({row["sha256"]: row["parent_sha256"] for row in lineage})) is not None:
        yield Problem(ArchiveFault.POLICY, f"the policy {policy!r} descends from itself")
    yield from (Problem(ArchiveFault.POLICY, said) for said in _wrong_policies(archive))
    used = set(archive.read("SELECT DISTINCT segment FROM {builds}")["segment"].to_pylist())
    there = {path.name for path in entries(archive.folder / "arrays")}
    for segment in sorted(there ^ used, key=str):
        said = f"segment {segment!r} is {'of no build' if segment in there else 'missing'}"
        yield Problem(ArchiveFault.ARRAYS, said)


def _unlisted(column: str, values: type[StrEnum]) -> str:
    """Return the SQL condition that a column has none of the given values."""
    return f"coalesce({column} NOT IN ({', '.join(quote(value) for value in values)}), true)"


# Each SELECT returns the subjects of a problem, by the text of the problem.
_WRONG_ROWS = {
    # Before any join: a build and a sample that occur a million times each would give a million million rows.
    "it has a policy twice": "SELECT sha256 FROM {policies} GROUP BY ALL HAVING count(*) > 1",
    "it has a run twice": "SELECT run_id FROM {runs} GROUP BY ALL HAVING count(*) > 1",
    "it has a build twice": "SELECT build_id FROM {builds} GROUP BY ALL HAVING count(*) > 1",
    "a build has no size": """SELECT build_id FROM {builds}
        WHERE NOT coalesce(drawn >= 0 AND segment_offset >= 0, false)""",
    "a row has no build": """SELECT samples.build_id || ' row ' || "row" FROM {samples} AS samples
        LEFT JOIN {builds} AS builds ON builds.build_id = samples.build_id
        WHERE NOT coalesce("row" >= 0 AND "row" < drawn AND samples.iteration = builds.iteration, false)""",
    "a reward has no row": """SELECT build_id || ' row ' || "row" FROM {rewards} AS whole
        ANTI JOIN {samples} USING (build_id, "row")""",
    "a consumed row is not there": """SELECT build_id || ' row ' || "row" FROM {consumed} AS whole
        ANTI JOIN {samples} USING (build_id, "row")""",
    "a reward has an unknown status": f"""SELECT build_id || ' row ' || "row" FROM {{rewards}}
        WHERE {_unlisted("status", ScoreStatus)}""",
    "a score has an unknown status, or no finite value": f"""SELECT smiles || ' ' || component FROM {{scores}}
        WHERE {_unlisted("status", ScoreStatus)} OR (status = 'ok' AND NOT coalesce(isfinite(value), false))""",
    "a build has an unknown event": f"SELECT build_id FROM {{builds}} WHERE {_unlisted('event', Event)}",
    "a run is of an unknown kind": f"SELECT run_id FROM {{runs}} WHERE {_unlisted('kind', RunKind)}",
    "a run has another configuration than its hash": """SELECT run_id FROM {runs}
        WHERE sha256(config) IS DISTINCT FROM config_sha256""",
    "a component of an objective lacks a value, or has a wrong one": """
        SELECT objective_sha256 || ' component ' || component FROM {objectives}
        WHERE NOT coalesce(position >= 0 AND component <> '' AND version <> '' AND weight >= 0 AND isfinite(weight)
            AND json_extract_string(TRY_CAST(transform AS JSON), '$.kind') <> '', false)""",
    "an event of a run is unknown": f"SELECT run_id FROM {{run_events}} WHERE {_unlisted('status', RunStatus)}",
}


def _wrong_times() -> dict[str, str]:
    """Return the SELECTs of times before year 1 or after year 9999, which Python cannot represent, by their text."""
    found = {}
    for table in ARCHIVED_TABLES:
        columns = columns_of(tuple(MIGRATIONS))[table]
        for name in (quote_name(column.name) for column in columns if column.kind == "TIMESTAMP"):
            possible = f"coalesce({name} BETWEEN TIMESTAMP '0001-01-01' AND TIMESTAMP '9999-12-31', true)"
            found[f"a time {name} of {table} is out of range"] = (
                f"SELECT {name}::VARCHAR FROM {{{table}}} WHERE NOT {possible}"
            )
    return found


def _rows(archive: ArchiveCatalog, sql: str) -> Iterator[dict[str, Any]]:
    for batch in archive.read_batches(sql):
        yield from batch.to_pylist()


def _wrong_names(archive: ArchiveCatalog) -> Iterator[str]:
    """Yield problems of names that would lead out of the archive as paths, and of ids that are not the right hash."""
    for run in _rows(archive, "SELECT run_id, config, libraries, selection FROM {runs}"):
        if run["run_id"] is None or not _RUN_ID.fullmatch(run["run_id"]):
            yield f"no run has the id {run['run_id']!r}"
        for name in ("config", "libraries", "selection"):
            if (text := run[name]) is not None and not _is_object(text, constants=name == "config"):
                yield f"the {name} of run {run['run_id']!r} is no JSON object"
    for part in _rows(archive, "SELECT objective_sha256, component, transform, gate FROM {objectives}"):
        for name in ("transform", "gate"):
            if (text := part[name]) is not None and not _is_object(text, constants=True):
                yield f"the {name} of component {part['component']!r} of {part['objective_sha256']!r} is no JSON object"
    columns = "build_id, run_id, iteration, event, sampler, chunk, segment"
    for build in _rows(archive, f"SELECT {columns} FROM {{builds}}"):
        named = (build["run_id"], build["iteration"], Event(build["event"]), build["sampler"], build["chunk"])
        if None in named or make_build_id(*named) != build["build_id"]:
            yield f"the build {build['build_id']!r} is not the one that its row in builds describes"
        if build["segment"] is None or not _SEGMENT.fullmatch(build["segment"]):
            yield f"the build {build['build_id']!r} has its arrays in {build['segment']!r}"


def _is_object(text: str, *, constants: bool = False) -> bool:
    try:
        values = strict_json(text.encode(), structure=_JSON_STRUCTURE, fractions=True, constants=constants)
        return isinstance(values, dict)
    except ValueError:
        return False


def find_circle(parents: Mapping[str, str | None]) -> str | None:
    """Return a policy that is its own ancestor, so that its lineage would never end; None if there is none."""
    settled: set[str] = set()
    for start in parents:
        path: dict[str, None] = {}
        at: str | None = start
        while at is not None and at not in settled:
            if at in path:
                return at
            path[at] = None
            at = parents.get(at)
        settled.update(path)
    return None


def _wrong_policies(archive: ArchiveCatalog) -> Iterator[str]:
    kept = archive.read("SELECT sha256 FROM {policies} WHERE coalesce(weights_kept, false)")["sha256"].to_pylist()
    there = [path.name for path in entries(archive.folder / "policies")]
    for sha256 in sorted(set(kept) ^ set(there), key=str):
        yield f"the policy {sha256!r} {'is not listed' if sha256 in there else 'has no weights'}"
    for sha256 in there:
        for file in entries(archive.folder / "policies" / sha256):
            if (problem := _wrong_policy_file(file)) is not None:
                yield f"{file.name!r} of policy {sha256} {problem}"


def _wrong_policy_file(file: Place) -> str | None:
    """Return the problem of a file of a policy; None for a sound safetensors or JSON file, which executes no code."""
    try:
        if file.suffix == ".safetensors":
            with safe_open(str(file), framework="numpy"):
                return None
        if file.suffix == ".json":
            strict_json(plain_file(Path(str(file)), _JSON_BYTES), structure=_JSON_STRUCTURE, fractions=True)
            return None
    except (SafetensorError, ValueError, OSError) as error:
        return f"is damaged: {error}"
    return "is neither safetensors nor JSON"
