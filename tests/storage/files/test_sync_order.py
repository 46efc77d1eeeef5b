"""What a version names is on the disk before the version is: a kill does not show writes that a power cut would lose.

Every sync is recorded together with what the catalog names at that moment, as another reader sees it.
"""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

import molbuffer.storage.files.durable
from molbuffer.storage import SampleStore
from molbuffer.storage.records import Checkpoint, Commit

_PARQUET = "SELECT path FROM METADATA.ducklake_data_file"


@dataclass
class Journal:
    """The syncs in their order, paths relative to the store; ``version`` is what a reader saw when each was done."""

    store: SampleStore
    paths: list[str] = field(default_factory=list)
    versions: dict[str, int] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)

    def record(self, path: Path) -> None:
        place = str(path.relative_to(self.store.path)) if path != self.store.path else "."
        self.paths.append(place)
        self.versions[place] = self.store.snapshot()
        if path.suffix == ".parquet" and (path.name,) in self.store._open.catalog.metadata(_PARQUET):
            self.named.add(place)

    def first(self, folder: str) -> int:
        return min(self._places(folder))

    def last(self, folder: str) -> int:
        return max(self._places(folder))

    def _places(self, folder: str) -> list[int]:
        return [place for place, path in enumerate(self.paths) if path == folder or path.startswith(f"{folder}/")]


@pytest.fixture
def journal(filled, monkeypatch):
    original = molbuffer.storage.files.durable._sync
    with SampleStore.open(filled.path, read_only=True) as observer:
        journal = Journal(observer)

        def sync(path):
            original(path)
            journal.record(path)

        monkeypatch.setattr(molbuffer.storage.files.durable, "_sync", sync)
        yield journal


def tree(store, folder):
    """A folder and all below it, relative to the store."""
    root = store.path / folder
    return {str(path.relative_to(store.path)) for path in (root, *root.rglob("*"))}


def test_r10_a_commit_syncs_arrays_and_checkpoint_then_tables_then_it_is_visible(filled, make, journal):
    before, newest = tree(filled, "."), filled.snapshot()
    checkpoint = Checkpoint("run-1", 9, {"state": b"1", "config.json": b"{}"}, newest)
    receipt = filled.commit(Commit([make.make_build(9)], checkpoint=checkpoint))
    assert receipt.snapshot == newest + 1

    made = tree(filled, ".") - before
    passing = {path for path in made if path.startswith("catalog.sqlite")}
    # Whatever is new, and each folder that names it, up to the store's own.
    assert set(journal.paths) >= made - passing
    assert set(journal.paths) >= {"arrays", "checkpoints", "tables", "tables/main", "tables/main/samples"}
    assert max(journal.last("arrays"), journal.last("checkpoints")) < journal.first("tables")
    assert set(journal.versions.values()) == {newest}
    assert journal.named == set()
    tables = {Path(path).parts[2] for path in made if path.endswith(".parquet")}
    assert tables == {"builds", "samples", "rewards", "metrics", "checkpoints"}


def test_r10_compaction_syncs_the_segment_before_it_is_named_and_merged_files_before_they_are(filled, journal, places):
    before = tree(filled, "tables")
    filled.maintenance.compact()
    (segment,) = set(places(filled).values())
    assert set(journal.paths) >= tree(filled, f"arrays/{segment}") | {"arrays"}
    assert journal.last("arrays") < journal.first("tables/main/placements")
    moved = filled.read_arrow("SELECT min(snapshot_id) AS version FROM {placements}")["version"][0].as_py()
    assert max(journal.versions[path] for path in tree(filled, f"arrays/{segment}")) < moved

    merged = {path for path in tree(filled, "tables") - before if path.endswith(".parquet")}
    assert {Path(path).parts[2] for path in merged} >= {"builds", "samples", "rewards", "metrics", "scores"}
    assert set(journal.paths) >= merged | {str(Path(path).parent) for path in merged}
    assert journal.named == set()


def test_a_policy_is_synced_before_it_has_its_name(filled, journal):
    sha256 = filled.policies.add({"weights.safetensors": b"1", "config.json": b"{}"})
    *parts, last = journal.paths
    assert last == "policies"
    assert {Path(path).name for path in parts if Path(path).suffix in (".json", ".safetensors")} == {
        "weights.safetensors",
        "config.json",
    }
    folders = {Path(path) for path in parts if Path(path).name.startswith(f".{sha256}")}
    assert len(folders) == 1
    assert len(parts) == 3
