"""The description of an archive as an RO-Crate, as the package of the field reads it."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from molbuffer.flows.cli.exchange.terms import archive_terms
from molbuffer.flows.errors import UsageError
from molbuffer.storage import ArchiveTerms, SampleStore
from molbuffer.storage.archive.crate import PROFILE
from molbuffer.storage.archive.files import verify_files
from molbuffer.storage.archive.manifest import CRATE, MANIFEST
from molbuffer.storage.errors import ArchiveError, ArchiveFault
from molbuffer.storage.trusted import trusted_archive

ADA, GRACE = "Ada Lovelace <https://orcid.org/0000-0002-1825-0097>", "Grace Hopper"
TERMS = ArchiveTerms("CC-BY-4.0", (ADA, GRACE))


@pytest.fixture(scope="module")
def one_run(trained_template: tuple[Path, str]) -> Iterator[SampleStore]:
    with SampleStore.open(trained_template[0], read_only=True) as store:
        yield store


@pytest.fixture(scope="module")
def archive(one_run: SampleStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("crate") / "archive"
    one_run.archive(out, where="reward > 0.2", terms=TERMS)
    return out


def test_the_package_rocrate_finds_every_file_with_its_provenance(archive: Path, one_run: SampleStore) -> None:
    rocrate = pytest.importorskip("rocrate.rocrate", reason="pip install rocrate")
    crate = rocrate.ROCrate(archive)
    assert str(crate.metadata.get("conformsTo")) == PROFILE
    root = crate.root_dataset
    manifest = verify_files(archive)
    there = {path.relative_to(archive).as_posix() for path in archive.rglob("*") if path.is_file()}
    described = {entity.id for entity in crate.get_entities() if "File" in entity.type}
    assert described == there - {CRATE}
    for name in described - {MANIFEST}:
        entity = crate.dereference(name)
        assert entity["sha256"] == manifest.files[name].sha256
        assert entity["contentSize"] == str(manifest.files[name].bytes)
        assert entity["name"] and entity["encodingFormat"]
    assert {person["name"]: person.id for person in root["author"]} == {
        "Ada Lovelace": "https://orcid.org/0000-0002-1825-0097",
        "Grace Hopper": "#author-1",
    }
    assert root["license"].id == "https://spdx.org/licenses/CC-BY-4.0"
    assert root["datePublished"].endswith("Z") and manifest.uuid in root["identifier"]
    assert "reward > 0.2" in root["description"] and one_run.uuid in root["description"]
    assert made_by_something(json.loads((archive / CRATE).read_text())["@graph"], described)


def made_by_something(graph: list[Any], files: set[str]) -> bool:
    """Whether each file is the result of an action, by itself or within its folder, and part of the archive."""
    by_id = {entity["@id"]: entity for entity in graph}
    made, parts = set(), set()
    for entity in graph:
        if entity["@type"] == "CreateAction":
            for result in entity["result"]:
                made |= {result["@id"], *(part["@id"] for part in by_id[result["@id"]].get("hasPart", []))}
            assert by_id[entity["instrument"]["@id"]]["version"]
    for part in by_id["./"]["hasPart"]:
        parts |= {part["@id"], *(inner["@id"] for inner in by_id[part["@id"]].get("hasPart", []))}
    runs = [entity for entity in graph if entity["@id"].startswith("#run-")]
    assert runs and all(entity["startTime"].endswith("Z") for entity in runs)
    return files <= made and files <= parts


def test_every_reference_leads_somewhere(archive: Path) -> None:
    graph = json.loads((archive / CRATE).read_text())["@graph"]
    ids = [entity["@id"] for entity in graph]
    assert len(set(ids)) == len(ids)

    def references(node: object) -> set[str]:
        if isinstance(node, dict):
            return {node["@id"]} if set(node) == {"@id"} else set().union(*map(references, node.values()))
        return set().union(*map(references, node)) if isinstance(node, list) else set()

    assert references(graph) - {PROFILE} <= set(ids)


def test_without_terms_none_are_stated(one_run: SampleStore, tmp_path: Path) -> None:
    one_run.archive(tmp_path / "archive")
    (root,) = [each for each in json.loads((tmp_path / "archive" / CRATE).read_text())["@graph"] if each["@id"] == "./"]
    assert "license" not in root and "author" not in root and "No licence was stated" in root["description"]


def test_an_archive_without_the_description_is_read_and_a_changed_one_is_not(archive: Path, tmp_path: Path) -> None:
    """Archives of before had none; one that is listed is as it was made."""
    changed = shutil.copytree(archive, tmp_path / "changed")
    for path in (changed, changed / CRATE, changed / MANIFEST):
        path.chmod(0o700)
    (changed / CRATE).write_text((changed / CRATE).read_text().replace("CC-BY-4.0", "CC0-1.0"))
    with pytest.raises(ArchiveError) as caught, trusted_archive(changed):
        pass
    assert caught.value.fault in (ArchiveFault.SIZE, ArchiveFault.CHECKSUM)
    (changed / CRATE).unlink()
    listed = json.loads((changed / MANIFEST).read_text())
    del listed["files"][CRATE]
    (changed / MANIFEST).write_text(json.dumps(listed, indent=1) + "\n")
    with trusted_archive(changed) as (older, _):
        assert older.query("SELECT count(*) AS n FROM samples").item() > 0


@pytest.mark.parametrize("author", ["", "<https://orcid.org/0>", "Ada <a b>"])
def test_an_author_is_a_name(author: str) -> None:
    with pytest.raises(ValueError, match="expected an author as NAME"):
        ArchiveTerms(authors=(author,))


class Configured:
    """A store with runs of these tables [campaign]."""

    def __init__(self, *tables: dict[str, Any]) -> None:
        self.tables = tables

    def read_arrow(self, sql: str, parameters: Any) -> Any:
        return pa.table({"config": [json.dumps({"campaign": table}) for table in self.tables]})


def test_terms_are_those_of_the_runs_unless_they_are_named() -> None:
    same = Configured({"license": "CC-BY-4.0", "authors": [ADA]}, {"license": "CC-BY-4.0", "authors": [GRACE, ADA]})
    assert archive_terms(same, (), None, None) == ArchiveTerms("CC-BY-4.0", (ADA, GRACE))  # type: ignore[arg-type]
    other = Configured({"license": "CC-BY-4.0"}, {})
    assert archive_terms(other, (), None, None) == ArchiveTerms()  # type: ignore[arg-type]
    named = archive_terms(other, (), "MIT", ["Grace"])  # type: ignore[arg-type]
    assert named == ArchiveTerms("MIT", ("Grace",))
    with pytest.raises(UsageError, match="expected an author as NAME"):
        archive_terms(other, (), None, ["<>"])  # type: ignore[arg-type]
