"""The description of an archive as an RO-Crate: ``ro-crate-metadata.json``, for catalogues of research data.

It describes each file in JSON-LD, with its size and the run that made it, and states the licence and the authors:
https://w3id.org/ro/crate/1.1. molbuffer never reads it; like every other file of an archive, it is listed in the
manifest with its hash.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from molbuffer.storage.archive.manifest import CRATE, MANIFEST, ListedFile
from molbuffer.storage.archive.terms import PERSON, ArchiveTerms
from molbuffer.storage.handle import OpenStore

PROFILE = "https://w3id.org/ro/crate/1.1"
CONTEXT = (f"{PROFILE}/context", {"sha256": "https://schema.org/sha256"})
_SPDX = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")
_FORMATS = {".parquet": "application/vnd.apache.parquet", ".json": "application/json"}
_OTHER = "application/octet-stream"
_ARCHIVING, _SOFTWARE, _SOURCE = "#archiving", "#molbuffer", "#store"


@dataclass(frozen=True)
class CrateRun:
    """A run that made files of an archive.

    Attributes:
        run_id: the id of the run.
        name: the name of the run.
        kind: the kind of the run.
        code_version: the version of the code.
        started: the start of the run, as ISO 8601 in UTC.
        folders: the folders of the archive with the files that the run made, each with a slash at its end.
    """

    run_id: str
    name: str
    kind: str
    code_version: str
    started: str
    folders: Sequence[str]


@dataclass(frozen=True)
class CrateOrigin:
    """The origin of an archive.

    Attributes:
        uuid: the identity of the archive.
        source_uuid: the identity of the store.
        snapshot: the snapshot of the store.
        where: the condition on its rows; None without a condition.
        rows: the number of samples.
        created: the time at which it was made, as ISO 8601 in UTC.
        molbuffer: the release of molbuffer that made it.
    """

    uuid: str
    source_uuid: str
    snapshot: int
    where: str | None
    rows: int
    created: str
    molbuffer: str


_RUNS = """SELECT runs.run_id, name, kind, code_version, created FROM {runs} AS runs
    SEMI JOIN wanted ON wanted.run_id = runs.run_id ORDER BY created, runs.run_id"""
_SEGMENTS = """SELECT DISTINCT builds.run_id, placed.segment FROM placed JOIN builds
    ON builds.build_id = placed.build_id ORDER BY ALL"""


def crate_runs(
    *, store: OpenStore, snapshot: int, run_ids: Iterable[str], builds: pa.Table, placed: pa.Table, lineage: pa.Table
) -> list[CrateRun]:
    """Return the runs that made the arrays and policies of an archive, the oldest first.

    Args:
        store: the store.
        snapshot: the snapshot of the store.
        run_ids: the runs whose rows are archived.
        builds: the archived builds, with columns build_id and run_id.
        placed: the segments of these builds in the archive, with columns build_id and segment.
        lineage: the policies of the archive, with columns sha256, run_id and weights_kept.
    """
    folders: dict[str, list[str]] = {run_id: [] for run_id in run_ids}
    for row in store.read_arrow(_SEGMENTS, placed=placed, builds=builds).to_pylist():
        folders[row["run_id"]].append(f"arrays/{row['segment']}/")
    for row in lineage.to_pylist():
        if row["weights_kept"] and row["run_id"] is not None:
            folders.setdefault(row["run_id"], []).append(f"policies/{row['sha256']}/")
    wanted = pa.table({"run_id": pa.array(folders, pa.string())})
    found = store.read_arrow(_RUNS, snapshot=snapshot, wanted=wanted).to_pylist()
    return [
        CrateRun(
            row["run_id"],
            row["name"],
            row["kind"],
            row["code_version"],
            started=f"{row['created']:%Y-%m-%dT%H:%M:%SZ}",
            folders=folders[row["run_id"]],
        )
        for row in found
    ]


def crate_bytes(
    files: Mapping[str, ListedFile], runs: Sequence[CrateRun], origin: CrateOrigin, terms: ArchiveTerms
) -> bytes:
    """Return the content of the description, as JSON.

    Args:
        files: all other files of the archive except its manifest, by their paths.
        runs: the runs that made files of the archive.
        origin: the origin of the archive.
        terms: its licence and authors.
    """
    folders = _by_folder(files)
    tables = [name for name in files if name.startswith("tables/")]
    parts = [*tables, MANIFEST, *folders]
    # A policy that no run has made, such as a bundled prior, counts as made by the archiving.
    by_runs = {folder for run in runs for folder in run.folders}
    given = [folder for folder in folders if folder not in by_runs]
    graph = [
        {
            "@id": CRATE,
            "@type": "CreativeWork",
            "conformsTo": _to(PROFILE),
            "about": _to("./"),
        },
        _root(origin, terms, parts),
        *(_file(name, files[name]) for name in tables),
        {"@id": MANIFEST, "@type": "File", "name": "The manifest: each file with its hash"}
        | {"encodingFormat": _FORMATS[".json"]},
        *(_folder(name, inside) for name, inside in folders.items()),
        *(_file(name, files[name]) for inside in folders.values() for name in inside),
        *_actions(origin, runs, [*tables, MANIFEST, CRATE, *given]),
        *_people(terms),
        *_license(terms),
    ]
    return (json.dumps({"@context": CONTEXT, "@graph": graph}, indent=1, ensure_ascii=False) + "\n").encode()


def _to(*ids: str) -> Any:
    """Return a reference to an entity, or a list of references to several entities."""
    return {"@id": ids[0]} if len(ids) == 1 else [{"@id": each} for each in ids]


def _by_folder(files: Iterable[str]) -> dict[str, list[str]]:
    """Return the paths of the files of each segment and policy, by its folder."""
    found = defaultdict(list)
    for name in files:
        top, inside = PurePosixPath(name).parts[:2]
        if top != "tables":
            found[f"{top}/{inside}/"].append(name)
    return dict(found)


def _root(origin: CrateOrigin, terms: ArchiveTerms, parts: Sequence[str]) -> dict[str, Any]:
    condition = "" if origin.where is None else f", those with {origin.where}"
    stated = "" if terms.license is not None else " No licence was stated when it was made."
    authors = [entity["@id"] for entity in _people(terms)]
    return {
        "@id": "./",
        "@type": "Dataset",
        "identifier": f"urn:uuid:{origin.uuid}",
        "name": f"molbuffer archive {origin.uuid[:8]}",
        "description": f"{origin.rows} samples of the molbuffer store {origin.source_uuid} at snapshot "
        f"{origin.snapshot}{condition}, with their rewards, scores and policies.{stated}",
        "datePublished": origin.created,
        "hasPart": [_to(part) for part in parts],
        **({"author": [_to(author) for author in authors]} if authors else {}),
        **({"license": _to(entity["@id"])} if (entity := next(iter(_license(terms)), None)) else {}),
    }


def _file(name: str, file: ListedFile) -> dict[str, Any]:
    path = PurePosixPath(name)
    kinds = {
        "tables": f"rows of the table {path.parts[1]}",
        "arrays": f"arrays of the segment {path.parts[1]}",
        "policies": f"a part of the policy {path.parts[1]}",
    }
    return {
        "@id": name,
        "@type": "File",
        "name": f"{path.name}: {kinds[path.parts[0]]}",
        "contentSize": str(file.bytes),
        "sha256": file.sha256,
        "encodingFormat": _FORMATS.get(path.suffix, _OTHER),
    }


def _folder(name: str, inside: Sequence[str]) -> dict[str, Any]:
    top, identity = name.split("/")[:2]
    what = "The tokens, log-probabilities and latents of builds" if top == "arrays" else "A policy"
    said = f"{what}: {identity}"
    return {"@id": name, "@type": "Dataset", "name": said, "hasPart": [_to(each) for each in inside]}


def _actions(origin: CrateOrigin, runs: Sequence[CrateRun], made: Sequence[str]) -> list[dict[str, Any]]:
    """Return the actions that made the files: each run made its arrays and policies, and the archiving the rest."""
    versions = sorted({run.code_version for run in runs})
    archiving = {
        "@id": _ARCHIVING,
        "@type": "CreateAction",
        "name": "molbuffer archive",
        "endTime": origin.created,
        "instrument": _to(_SOFTWARE),
        "object": _to(_SOURCE),
        "result": [_to(each) for each in made],
    }
    return [
        archiving,
        {"@id": _SOFTWARE, "@type": "SoftwareApplication", "name": "molbuffer", "version": origin.molbuffer},
        {"@id": _SOURCE, "@type": "Dataset", "name": f"The molbuffer store {origin.source_uuid}"}
        | {"version": str(origin.snapshot)},
        *(
            {
                "@id": f"#run-{run.run_id}",
                "@type": "CreateAction",
                "name": run.name,
                "description": f"A run of kind {run.kind}; the table runs has its configuration.",
                "startTime": run.started,
                "instrument": _to(f"{_SOFTWARE}-{versions.index(run.code_version)}"),
                "result": [_to(folder) for folder in run.folders],
            }
            for run in runs
        ),
        *(
            {"@id": f"{_SOFTWARE}-{i}", "@type": "SoftwareApplication", "name": "molbuffer", "version": version}
            for i, version in enumerate(versions)
        ),
    ]


def _people(terms: ArchiveTerms) -> list[dict[str, Any]]:
    found = []
    for i, author in enumerate(dict.fromkeys(terms.authors)):
        match = PERSON.fullmatch(author)
        assert match is not None
        found.append({"@id": match["id"] or f"#author-{i}", "@type": "Person", "name": match["name"]})
    return found


def _license(terms: ArchiveTerms) -> list[dict[str, Any]]:
    if terms.license is None:
        return []
    text = terms.license.strip()
    if text.startswith(("http://", "https://")):
        identity = text
    else:
        identity = f"https://spdx.org/licenses/{text}" if _SPDX.fullmatch(text) else "#license"
    return [{"@id": identity, "@type": "CreativeWork", "name": text, "description": f"The licence of the data: {text}"}]
