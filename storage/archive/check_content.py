"""Whether what is inside an archive is what it says: rows, arrays and policies that belong together.

Checksums tell that an archive is as it was made; they say nothing about who made it. Before anything of one is used or
copied, the headers of its files are compared with what molbuffer writes (``archive_headers``), its rows with each
other, and every segment and policy is read once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from molbuffer.storage.archive.check_headers import check_parquet, wrong_arrays
from molbuffer.storage.archive.manifest import ArchiveLimits, Manifest, read_manifest
from molbuffer.storage.archive.older import opened_archive
from molbuffer.storage.archive.tar import unpacked
from molbuffer.storage.catalog.schema import MIGRATIONS, Migration
from molbuffer.storage.description import Description
from molbuffer.storage.errors import ArchiveError
from molbuffer.storage.layout import Layout
from molbuffer.storage.records import Event, RunKind, RunStatus, ScoreStatus, make_build_id
from molbuffer.storage.segments.segment import read_segment
from molbuffer.storage.store import SampleStore

_SEGMENT = re.compile(r"[0-9a-f]{32}")
_RUN_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}")


@contextmanager
def trusted_archive(
    path: Path, limits: ArchiveLimits = ArchiveLimits(), migrations: Sequence[Migration] = MIGRATIONS
) -> Iterator[tuple[SampleStore, Manifest]]:
    """An archive, opened for reading once all of it was checked; a tar file is unpacked for as long as this lasts.

    Args:
        migrations: those of this release, as which an archive of an older one is read, too.

    Raises:
        StoreNotFoundError: there is nothing at the path.
        ArchiveError: it is no archive, is damaged, exceeds the limits, or is not what it says.
        StoreError: it is a damaged store.
    """
    with unpacked(path, limits) as folder:
        manifest, description = read_manifest(folder), Description.read(Layout(folder).description)
        # Before it is opened: what calls itself a store and no archive would be opened without a look at its catalog.
        if not description.archive or manifest.uuid != description.uuid:
            raise ArchiveError(f"{path}: store.toml is not that of the archive {manifest.uuid} of archive.json")
        check_parquet(folder)
        with opened_archive(folder, migrations) as archive:
            check_archive(archive, manifest, limits)
            yield archive, manifest


def check_archive(archive: SampleStore, manifest: Manifest, limits: ArchiveLimits = ArchiveLimits()) -> None:
    """Refuses an archive whose parts contradict each other.

    Raises:
        ArchiveError: saying what is wrong.
    """
    for problem in _problems(archive, manifest, limits):
        raise ArchiveError(f"{archive.path} is not what an archive is, and is not used: {problem}")


def _problems(archive: SampleStore, manifest: Manifest, limits: ArchiveLimits) -> Iterator[str]:
    yield from _wrong_rows(archive)
    counted = archive.read_arrow("SELECT count(*) AS n FROM {samples}")["n"][0].as_py()
    if counted != manifest.rows:
        yield f"it has {counted} rows, archive.json says {manifest.rows}"
    yield from _wrong_names(archive)
    yield from _wrong_lineage(archive)
    yield from _wrong_policies(archive)
    yield from _wrong_segments(archive, limits)


def _listed(values: Sequence[str]) -> str:
    return ", ".join(f"'{value}'" for value in values)


# Each SELECT gives one text for each thing that is wrong, in the words after which it is told.
_WRONG_ROWS = {
    "it has a build twice": "SELECT build_id FROM {builds} GROUP BY ALL HAVING count(*) > 1",
    "it has a run twice": "SELECT run_id FROM {runs} GROUP BY ALL HAVING count(*) > 1",
    "it has a policy twice": "SELECT sha256 FROM {policies} GROUP BY ALL HAVING count(*) > 1",
    "it has a row twice": """SELECT build_id || ' row ' || "row" FROM {samples} GROUP BY build_id, "row"
        HAVING count(*) > 1""",
    "a build has no run": "SELECT build_id FROM {builds} AS whole ANTI JOIN {runs} USING (run_id)",
    "a build has no size": """SELECT build_id FROM {builds}
        WHERE NOT coalesce(drawn >= 0 AND segment_offset >= 0, false)""",
    "a row has no build": """SELECT samples.build_id || ' row ' || "row" FROM {samples} AS samples
        LEFT JOIN {builds} AS builds ON builds.build_id = samples.build_id
        WHERE NOT coalesce("row" >= 0 AND "row" < drawn AND samples.iteration = builds.iteration, false)""",
    "a reward has no row": """SELECT build_id || ' row ' || "row" FROM {rewards} AS whole
        ANTI JOIN {samples} USING (build_id, "row")""",
    "a consumed row is not there": """SELECT build_id || ' row ' || "row" FROM {consumed} AS whole
        ANTI JOIN {samples} USING (build_id, "row")""",
    "a row has two good rewards": """SELECT build_id || ' row ' || "row" FROM {rewards} WHERE status = 'ok'
        GROUP BY build_id, "row", objective_sha256 HAVING count(*) > 1""",
    "a reward is none": f"""SELECT build_id || ' row ' || "row" FROM {{rewards}}
        WHERE status NOT IN ({_listed([*ScoreStatus])}) OR (status = 'ok') <> coalesce(isfinite(value), false)""",
    "a score is none": f"""SELECT smiles || ' ' || component FROM {{scores}}
        WHERE status NOT IN ({_listed([*ScoreStatus])}) OR (status = 'ok' AND NOT coalesce(isfinite(value), false))""",
    "a build has an unknown event": f"SELECT build_id FROM {{builds}} WHERE event NOT IN ({_listed([*Event])})",
    "a run is of an unknown kind": f"SELECT run_id FROM {{runs}} WHERE kind NOT IN ({_listed([*RunKind])})",
    "a run has another configuration than its hash": """SELECT run_id FROM {runs}
        WHERE sha256(config) IS DISTINCT FROM config_sha256""",
    "an event of a run is unknown": f"SELECT run_id FROM {{run_events}} WHERE status NOT IN ({_listed([*RunStatus])})",
    "it has a checkpoint": "SELECT run_id FROM {checkpoints}",
    "it has moved arrays": "SELECT build_id FROM {placements}",
    "it has quarantined arrays": "SELECT segment FROM {quarantine}",
}


def _wrong_rows(archive: SampleStore) -> Iterator[str]:
    for words, sql in _WRONG_ROWS.items():
        for row in archive.read_arrow(f"SELECT text FROM ({sql}) AS wrong(text) LIMIT 1").to_pylist():
            yield f"{words} ({row['text']})"


def _wrong_names(archive: SampleStore) -> Iterator[str]:
    """Names that end up in paths, and ids that are not what they are the hash of."""
    for run in archive.read_arrow("SELECT run_id FROM {runs}").to_pylist():
        if run["run_id"] is None or not _RUN_ID.fullmatch(run["run_id"]):
            yield f"no run has the id {run['run_id']!r}"
    columns = "build_id, run_id, iteration, event, sampler, chunk, segment"
    for build in archive.read_arrow(f"SELECT {columns} FROM {{builds}}").to_pylist():
        named = (build["run_id"], build["iteration"], Event(build["event"]), build["sampler"], build["chunk"])
        if None in named or make_build_id(*named) != build["build_id"]:
            yield f"the build {build['build_id']!r} is not the one that its row in builds describes"
        if build["segment"] is None or not _SEGMENT.fullmatch(build["segment"]):
            yield f"the build {build['build_id']!r} has its arrays in {build['segment']!r}"


def _wrong_lineage(archive: SampleStore) -> Iterator[str]:
    rows = archive.read_arrow("SELECT sha256, parent_sha256 FROM {policies}").to_pylist()
    circle = find_circle({row["sha256"]: row["parent_sha256"] for row in rows})
    if circle is not None:
        yield f"the policy {circle!r} descends from itself"


def find_circle(parents: Mapping[str, str | None]) -> str | None:
    """A policy that is its own ancestor, with which questions about lineage would never end; None without one."""
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


def _wrong_policies(archive: SampleStore) -> Iterator[str]:
    kept = archive.read_arrow("SELECT sha256 FROM {policies} WHERE weights_kept")["sha256"].to_pylist()
    there = archive.policies.kept()
    for sha256 in sorted(set(kept) ^ set(there)):
        yield f"the policy {sha256!r} {'is not listed' if sha256 in there else 'has no weights'}"
    for sha256 in there:
        for file in sorted((archive.path / "policies" / sha256).iterdir()):
            if (problem := _wrong_policy_file(file)) is not None:
                yield f"{file.name!r} of policy {sha256} {problem}"


def _wrong_policy_file(file: Path) -> str | None:
    """Weights are safetensors and all else is JSON: nothing that executes when it is loaded."""
    try:
        if file.suffix == ".safetensors":
            with safe_open(file, framework="numpy"):
                return None
        if file.suffix == ".json":
            json.loads(file.read_bytes())
            return None
    except (SafetensorError, ValueError, RecursionError) as error:
        return f"is damaged: {error}"
    return "is neither safetensors nor JSON"


_EXTENTS = """SELECT segment, vocabulary_sha256, segment_offset AS first, segment_offset + drawn AS stop
    FROM {builds} ORDER BY segment, first, stop"""


def _arrays(archive: SampleStore) -> Path:
    """An archive has its arrays in its folder."""
    return archive.path / "arrays"


def _wrong_segments(archive: SampleStore, limits: ArchiveLimits) -> Iterator[str]:
    extents: dict[str, list[dict[str, Any]]] = {}
    for extent in archive.read_arrow(_EXTENTS).to_pylist():
        extents.setdefault(extent["segment"], []).append(extent)
    there = {path.name for path in _arrays(archive).iterdir()}
    for segment in sorted(there ^ extents.keys()):
        yield f"segment {segment!r} is {'of no build' if segment in there else 'missing'}"
    if (problem := wrong_arrays(archive.path, limits.bytes)) is not None:
        yield problem
        return
    for segment, builds in extents.items():
        yield from _wrong_extents(_arrays(archive) / segment, builds)


def _wrong_extents(folder: Path, builds: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Whether a segment has exactly the rows of its builds, one build after another."""
    rows = read_segment(folder)
    stops = [0, *(build["stop"] for build in builds)]
    if [build["first"] for build in builds] != stops[:-1] or stops[-1] != len(rows):
        yield f"segment {folder.name!r} has {len(rows)} rows, which are not those of its builds"
    if {build["vocabulary_sha256"] for build in builds} != {rows.vocabulary_sha256}:
        yield f"segment {folder.name!r} is of another vocabulary than its builds"
    if rows.lengths.min(initial=0) < 0 or rows.lengths.max(initial=0) > rows.tokens.shape[1]:
        yield f"segment {folder.name!r} has rows that are longer than it is wide"
    if not np.array_equal(rows.tokens.shape, rows.log_probs.shape):
        yield f"segment {folder.name!r} has {rows.tokens.shape} tokens and {rows.log_probs.shape} log-probs"
    if rows.source_tokens is not None and rows.source_lengths is not None:
        lengths = rows.source_lengths
        if lengths.min(initial=0) < 0 or lengths.max(initial=0) > rows.source_tokens.shape[1]:
            yield f"segment {folder.name!r} has sources that are longer than it is wide"
