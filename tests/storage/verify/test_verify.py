"""Every kind of damage is named, and nothing else is; what is damaged in the arrays can be put in quarantine."""

import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from safetensors.numpy import save

from molbuffer.storage import SampleStore
from molbuffer.storage.errors import ArraysError, StoreError, StoreModeError, StoreNotFoundError
from molbuffer.storage.history.index import IndexScope
from molbuffer.storage.records import Checkpoint, Commit, Consumed, PolicyVersion, Score, now
from molbuffer.storage.verify.report import Finding, FindingKind, Severity, VerifyReport
from molbuffer.storage.verify.verify import verify_store


@pytest.fixture(scope="module")
def template(tmp_path_factory, make) -> Path:
    """A sound store: three builds in three segments, a policy, scores, consumed rows, two checkpoints."""
    path = tmp_path_factory.mktemp("template") / "store"
    with SampleStore.create(path) as store:
        store.start_run(make.make_run())
        sha256 = store.policies.add({"weights.safetensors": save({"w": np.zeros(500, np.uint8)}), "config.json": b"{}"})
        policy = PolicyVersion(sha256, "gru", run_id="run-1", iteration=0, weights_kept=True)
        for iteration in range(3):
            build = make.make_build(iteration, seed=iteration, policy_sha256=sha256)
            files = {"model.bin": os.urandom(300), "state.json": b'{"step": 1}'}
            checkpoint = Checkpoint("run-1", iteration, files) if iteration else None
            store.commit(
                Commit(
                    builds=[build],
                    scores=[Score(f"C{iteration}", "docking", "v1", -1.0)],
                    policies=[policy],
                    run_id="run-1",
                    consumed=[Consumed(build.build_id, [0, 3], iteration)],
                    checkpoint=checkpoint,
                )
            )
    return path


@pytest.fixture
def path(template, tmp_path, monkeypatch) -> Path:
    """A copy of it, to damage."""
    monkeypatch.setenv("MOLBUFFER_CACHE", str(tmp_path / "cache"))
    return shutil.copytree(template, tmp_path / "store")


def said(report: VerifyReport) -> set[tuple[str, str, str | None]]:
    return {(found.severity.value, found.kind.value, found.path) for found in report.findings}


def flip(file: Path, position: int | None = None) -> None:
    """Changes one bit of a file."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2 if position is None else position] ^= 4
    file.write_bytes(content)


def truncate(file: Path) -> None:
    os.truncate(file, file.stat().st_size - 1)


def segments(path: Path) -> list[Path]:
    """The folders of the three builds' segments, in the order of the builds."""
    with SampleStore.open(path, read_only=True) as store:
        found = store.query("SELECT segment FROM builds ORDER BY iteration")
    return [path / "arrays" / name for name in found["segment"]]


def parquet(path: Path, table: str) -> Path:
    return max((path / "tables" / "main" / table).iterdir())


def contents(path: Path) -> dict[Path, bytes]:
    """All files but those that SQLite makes while a catalog is read."""
    passing = ("catalog.sqlite-shm", "catalog.sqlite-wal")
    return {file: file.read_bytes() for file in path.rglob("*") if file.is_file() and file.name not in passing}


# A sound store


@pytest.mark.parametrize("quick", [False, True])
def test_a_sound_store_has_no_finding_and_stays_as_it_is(path, quick):
    before = contents(path)
    seen = []
    report = verify_store(path, quick=quick, progress=lambda done, total: seen.append((done, total)))
    assert report.findings == report.unchecked == ()
    assert report.checked["segments"] == 3
    assert report.checked["samples"] == report.checked["rows of arrays"] == 18
    assert report.checked["rewards"] == 12
    assert (report.checked["policies"], report.checked["checkpoints"]) == (1, 2)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1][0] == seen[-1][1]
    assert contents(path) == before


def test_a_store_that_is_written_to_has_no_error(path, writer):
    process = writer("race", path, 10, 20)
    reports = []
    while process.poll() is None or not reports:
        reports.append(verify_store(path))
    assert process.returncode == 0
    with SampleStore.open(path, read_only=True) as store:
        reports.append(store.verify())
    assert [report.errors for report in reports] == [()] * len(reports)
    assert reports[-1].checked["segments"] == 13


def test_a_compacted_store_has_no_error_and_names_what_can_go(path):
    old = {f"arrays/{folder.name}" for folder in segments(path)}
    with SampleStore.open(path) as store:
        store.maintenance.compact()
        report = store.verify()
    assert not [found for found in report.findings if found.severity is not Severity.INFORMATION]
    assert report.checked["segments"] == 1
    # Versions from before the compaction still read the old segments, but not the files that were merged.
    replaced = {found.path for found in report.findings}
    assert not replaced & old
    assert any(place.startswith("tables/main/samples/") for place in replaced)


def test_an_archive_and_what_it_was_merged_into_have_no_error(path, tmp_path, make):
    with SampleStore.open(path) as store:
        store.archive(tmp_path / "archive", where='"row" = 0')
    report = verify_store(tmp_path / "archive")
    assert report.errors == ()
    assert report.checked["samples"] == 3
    with SampleStore.create(tmp_path / "other") as other:
        with SampleStore.open(tmp_path / "archive") as archive:
            other.merge(archive)
        report = other.verify()
    assert report.errors == ()
    assert report.checked["samples"] == 3


# Arrays


def lose(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


ARRAY_DAMAGE: dict[str, Callable[[Path], None]] = {
    "flip tokens": lambda segment: flip(segment / "tokens" / "c.0.0"),
    "flip lengths": lambda segment: flip(segment / "lengths" / "c.0"),
    "flip log_probs": lambda segment: flip(segment / "log_probs" / "c.0.0"),
    "truncate a chunk": lambda segment: truncate(segment / "log_probs" / "c.0.0"),
    "empty a chunk": lambda segment: os.truncate(segment / "tokens" / "c.0.0", 0),
    "lose a chunk": lambda segment: lose(segment / "tokens" / "c.0.0"),
    "lose an array": lambda segment: lose(segment / "lengths"),
    "lose the segment": lose,
    "flip the vocabulary": lambda segment: flip(
        segment / "zarr.json", (segment / "zarr.json").read_bytes().index(b"vocabulary-1")
    ),
    "empty zarr.json": lambda segment: os.truncate(segment / "zarr.json", 0),
}


def test_damaged_segments_are_named_and_can_be_put_in_quarantine(started, make):
    """One segment with each kind of damage, between two sound ones."""
    path, numbers = started.path, range(len(ARRAY_DAMAGE) + 2)
    for number in numbers:
        started.commit(Commit([make.make_build(number, seed=number, policy_sha256=None)]))
    started.close()
    kinds = {}
    for kind, segment in zip(ARRAY_DAMAGE, segments(path)[1:-1], strict=True):
        ARRAY_DAMAGE[kind](segment)
        kinds[segment.name] = kind
    build_ids = {name: make.make_build(number).build_id for number, name in enumerate(kinds, start=1)}
    report = verify_store(path)
    assert said(report) == {("error", "segment", f"arrays/{name}") for name in kinds}
    assert len(report.findings) == len(kinds)
    for found in report.findings:
        kind = kinds[found.segment]
        assert found.build_ids == (build_ids[found.segment],), kind
        assert found.segment in found.message, kind
        assert found.advice and "molbuffer verify --quarantine" in found.advice, kind
    there, scope = contents(path), IndexScope(objective_sha256=make.OBJECTIVE)

    with SampleStore.open(path) as store:
        # Each stops the training by itself: those before it are in quarantine.
        left = set(kinds)
        while left:
            with pytest.raises(ArraysError) as stopped:
                store.index(scope)
            (name,) = (name for name in left if name in str(stopped.value))
            left.remove(name)
            receipt = store.quarantine({name: report.damaged_segments[name]})
            kind, build_id = kinds[name], build_ids[name]
            assert receipt.segments == (name,), kind
            assert [(build.build_id, build.drawn, build.kept) for build in receipt.builds] == [(build_id, 6, 4)], kind
            assert receipt.rows == 4, kind
        # The rest is usable: training reads it, queries read all, commits go on.
        index = store.index(scope)
        assert len(index) == 8
        assert len(index.gather(np.arange(8)).tokens) == 8
        assert store.query("SELECT count(*) AS n FROM sample_history")["n"][0] == 6 * len(numbers)
        store.commit(Commit([make.make_build(len(numbers), policy_sha256=None)]))
        assert len(store.index(scope)) == 12
        for name, build_id in build_ids.items():
            with pytest.raises(ArraysError, match=name):
                store.build(build_id)
        assert store.quarantine(report.damaged_segments).segments == ()
        after = store.verify()
    assert said(after) == {("information", "quarantine", f"arrays/{name}") for name in kinds}
    assert all("is damaged" in found.message for found in after.findings)
    # Nothing was deleted or changed.
    now_there, grown = contents(path), {"catalog.sqlite", "journal.jsonl"}
    assert {file: now_there[file] for file in there if file.name not in grown} == {
        file: content for file, content in there.items() if file.name not in grown
    }


def test_exchanged_segments_are_both_named(path):
    first, second, _ = segments(path)
    first.rename(first.with_name("aside"))
    second.rename(first)
    first.with_name("aside").rename(second)
    report = verify_store(path, quick=True)
    assert said(report) == {("error", "segment", f"arrays/{folder.name}") for folder in (first, second)}
    assert second.name in next(found.message for found in report.findings if found.segment == first.name)


def test_a_quick_look_finds_what_is_lost_and_not_what_is_flipped(path):
    first, second, third = segments(path)
    flip(first / "tokens" / "c.0.0")
    lose(second / "log_probs" / "c.0.0")
    lose(third)
    report = verify_store(path, quick=True)
    assert said(report) == {("error", "segment", f"arrays/{folder.name}") for folder in (second, third)}


def test_a_segment_that_is_sound_again_is_said_to_be(path):
    segment = segments(path)[0].name
    with SampleStore.open(path) as store:
        store.quarantine({segment: "a mistake"})
        (found,) = store.verify().findings
    assert (found.severity, found.kind) == (Severity.INFORMATION, FindingKind.QUARANTINE)
    assert "shows no damage now" in found.message
    assert "a mistake" in found.message


def test_only_segments_of_the_store_can_be_put_in_quarantine(path):
    with SampleStore.open(path) as store, pytest.raises(ArraysError, match="nowhere"):
        store.quarantine({"nowhere": "?", segments(path)[0].name: "?"})
    with SampleStore.open(path, read_only=True) as store:
        assert store.query("SELECT count(*) AS n FROM quarantine")["n"][0] == 0
        with pytest.raises(StoreModeError):
            store.quarantine({segments(path)[0].name: "?"})


# Files


@pytest.mark.parametrize("damage", [flip, truncate, lose], ids=["flip", "truncate", "lose"])
@pytest.mark.parametrize("table", ["rewards", "scores", "builds", "migrations", "checkpoints"])
def test_a_damaged_parquet_file_is_named_with_its_table(path, table, damage):
    file = parquet(path, table)
    damage(file)
    report = verify_store(path)
    place = str(file.relative_to(path))
    assert said(report) == {("error", "parquet", place)}
    (found,) = report.findings
    assert found.table == table
    assert place in found.message
    assert found.advice and found.message.endswith(found.advice)
    assert report.damaged_segments == {}
    assert bool(report.unchecked) == (table != "scores" or bool(report.unchecked))
    assert all(table in what for what in report.unchecked)


def test_what_does_not_need_a_damaged_parquet_file_still_works(path, make):
    lose(parquet(path, "scores"))
    with SampleStore.open(path) as store:
        with pytest.raises(StoreError):
            store.query("SELECT * FROM scores")
        assert store.query("SELECT count(*) AS n FROM sample_history")["n"][0] == 18
        assert len(store.index(IndexScope(objective_sha256=make.OBJECTIVE))) == 12
        store.commit(Commit([make.make_build(7, policy_sha256=None)]))


def test_a_damaged_policy_is_named(path):
    (folder,) = (path / "policies").iterdir()
    for damage in (flip, truncate, lose):
        original = (folder / "config.json").read_bytes()
        damage(folder / "config.json")
        assert said(verify_store(path)) == {("error", "policy", f"policies/{folder.name}")}
        (folder / "config.json").write_bytes(original)
    lose(folder)
    assert said(verify_store(path, quick=True)) == {("error", "policy", f"policies/{folder.name}")}


def test_a_damaged_checkpoint_is_named(path):
    first, last = sorted((path / "checkpoints" / "run-1").iterdir())
    flip(first / "model.bin")
    truncate(last / "state.json")
    lose(last / "model.bin")
    damaged = (first / "model.bin", last / "state.json", last / "model.bin")
    expected = {("error", "checkpoint", str(file.relative_to(path))) for file in damaged}
    assert said(verify_store(path)) == expected
    # A vacuum removes the folders of older checkpoints; the newest must be there.
    lose(first)
    lose(last)
    assert said(verify_store(path)) == {("error", "checkpoint", str(last.relative_to(path)))}


def test_a_missing_or_damaged_description_is_named_and_the_rest_is_checked(path):
    original = (path / "store.toml").read_text()
    (path / "store.toml").unlink()
    report = verify_store(path)
    assert said(report) == {("error", "description", "store.toml")}
    assert report.checked["segments"] == 3
    (path / "store.toml").write_text(original.replace("format", "fromat"))
    assert said(verify_store(path, quick=True)) == {("error", "description", "store.toml")}


def test_a_damaged_catalog_is_named(path):
    with sqlite3.connect(path / "catalog.sqlite") as catalog:
        catalog.execute("PRAGMA journal_mode = DELETE")
    catalog.close()
    (path / "catalog.sqlite").write_bytes(b"no database " * 100)
    report = verify_store(path)
    assert said(report) == {("error", "catalog", "catalog.sqlite")}
    assert report.snapshot is None
    assert report.unchecked
    (path / "catalog.sqlite").unlink()
    assert said(verify_store(path)) == {("error", "catalog", "catalog.sqlite")}
    (path / "store.toml").unlink()
    report = verify_store(path)
    assert said(report) == {("error", "catalog", "catalog.sqlite"), ("error", "description", "store.toml")}
    assert report.checked["segments"] == 3
    with pytest.raises(StoreNotFoundError, match=r"neither store\.toml nor catalog\.sqlite"):
        verify_store(path / "arrays")


def test_one_bit_in_any_file_is_found(path):
    """A bit at a random place of every chunk, Parquet file, policy and checkpoint."""
    # The files that say which others there are would hide what else is wrong; what waits is no part of the store.
    files = [
        file
        for file in path.rglob("*")
        if file.is_file()
        and file.parent.name not in {"store", "builds", "policies", "checkpoints", "migrations", "waiting"}
        if file.name != "zarr.json"
    ]
    rng = random.Random(11)
    for file in files:
        flip(file, rng.randrange(file.stat().st_size))
    found = {error.path for error in verify_store(path).errors}
    for file in files:
        place = str(file.relative_to(path))
        assert any(place == each or place.startswith(f"{each}/") for each in found), place


# Rows that contradict each other


def add(path: Path, table: str, rows: list[dict]) -> None:
    with SampleStore.open(path) as store:
        store._open.catalog.transact("test", "rows", {}, lambda t: t.insert(table, pa.Table.from_pylist(rows)))


def copied(path: Path, table: str, **changes: object) -> dict:
    with SampleStore.open(path, read_only=True) as store:
        return store.read_arrow(f"SELECT * FROM {{{table}}} ORDER BY ALL LIMIT 1").to_pylist()[0] | changes


@pytest.mark.parametrize(
    ("table", "changes", "severity", "kind"),
    [
        ("runs", {}, "error", "duplicate"),
        ("checkpoints", {}, "error", "duplicate"),
        ("samples", {}, "error", "duplicate"),
        ("rewards", {}, "error", "duplicate"),
        ("samples", {"row": 6}, "error", "count"),
        ("rewards", {"row": 17}, "error", "reference"),
        ("rewards", {"row": 1, "value": None}, "error", "reward"),
        ("rewards", {"row": 1, "status": "failed"}, "error", "reward"),
        ("samples", {"build_id": "nobody"}, "error", "reference"),
        ("rewards", {"build_id": "nobody"}, "error", "reference"),
        ("metrics", {"build_id": "nobody"}, "error", "reference"),
        ("run_events", {"run_id": "nobody"}, "error", "reference"),
        ("consumed", {"run_id": "nobody"}, "error", "reference"),
        ("consumed", {"row": 9}, "warning", "reference"),
        ("policies", {"sha256": "x", "parent_sha256": "nobody", "weights_kept": False}, "warning", "reference"),
        ("policies", {"sha256": "x"}, "error", "policy"),
    ],
)
def test_rows_that_contradict_each_other_are_named(path, table, changes, severity, kind):
    added = copied(path, table, **changes)
    add(path, table, [added])
    report = verify_store(path, quick=True)
    assert {(found.severity.value, found.kind.value) for found in report.findings} == {(severity, kind)}
    (found,) = report.findings
    if table in ("samples", "rewards") and "build_id" not in changes:
        (row,) = found.rows
        assert row.row == added["row"]


def test_a_build_that_is_there_twice_is_named_once(path):
    added = copied(path, "builds")
    add(path, "builds", [added])
    (found,) = verify_store(path).findings
    assert (found.severity, found.kind, found.table) == (Severity.ERROR, FindingKind.DUPLICATE, "builds")
    assert found.build_ids == (added["build_id"],)


def test_builds_that_lie_in_the_same_rows_or_beyond_the_segment_are_named(path, make):
    _, second, third = segments(path)
    ids = [make.make_build(iteration).build_id for iteration in range(3)]
    moved = {"generation": 1, "created": now()}
    add(
        path,
        "placements",
        [
            {"build_id": ids[0], "segment": second.name, "segment_offset": 0} | moved,
            {"build_id": ids[2], "segment": third.name, "segment_offset": 1} | moved,
        ],
    )
    report = verify_store(path)
    assert {found.segment for found in report.errors} == {second.name, third.name}
    assert set(report.damaged_segments) == {second.name, third.name}
    by_segment = {found.segment: found.message for found in report.errors}
    assert ids[0] in by_segment[second.name]
    assert ids[1] in by_segment[second.name]
    assert "has 6 rows" in by_segment[third.name]


def test_fewer_rows_than_were_drawn_are_a_warning_and_another_count_an_error(path, make):
    build = copied(path, "builds", build_id="b" * 32, iteration=9, drawn=0, parseable=0, kept=1)
    partial = copied(path, "builds", build_id="c" * 32, iteration=9, segment_offset=6, drawn=0, parseable=0, kept=0)
    add(path, "builds", [build, partial | {"drawn": 3}])
    report = verify_store(path)
    kinds = {(found.severity.value, found.kind.value): found for found in report.findings}
    assert kinds["error", "count"].build_ids == ("b" * 32,)
    assert kinds["warning", "count"].build_ids == ("c" * 32,)
    assert "3 of the rows" in kinds["warning", "count"].message


# What nothing names


def test_leftovers_are_information_with_size_and_age(path, make):
    orphan = path / "arrays" / ("0" * 32)
    shutil.copytree(segments(path)[0], orphan)
    (path / "policies" / ".aside.0").mkdir()
    (path / "policies" / ("f" * 64)).mkdir()
    (path / "policies" / ("f" * 64) / "config.json").write_bytes(b"{}")
    stray = path / "tables" / "main" / "samples" / "ducklake-stray.parquet"
    stray.write_bytes(b"PAR1")
    os.utime(stray, (0, 0))
    report = verify_store(path)
    assert {found.severity for found in report.findings} == {Severity.INFORMATION}
    found: dict[str, Finding] = {each.path: each for each in report.findings}
    assert found.keys() == {
        f"arrays/{orphan.name}",
        "policies/.aside.0",
        f"policies/{'f' * 64}",
        "tables/main/samples/ducklake-stray.parquet",
    }
    assert found[f"arrays/{orphan.name}"].bytes > 500
    assert found[f"arrays/{orphan.name}"].age_seconds < 600
    assert found["tables/main/samples/ducklake-stray.parquet"].age_seconds > 1e9


def test_a_writer_that_dies_leaves_information_only(path, writer):
    writer("die", path, "rows inserted", 7).communicate(timeout=600)
    report = verify_store(path)
    assert report.errors == ()
    assert {found.path.split("/")[0] for found in report.findings} == {"arrays", "tables"}
