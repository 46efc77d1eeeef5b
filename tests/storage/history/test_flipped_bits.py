"""A bit that flips in a file that training reads is an error that names the file, or the file is made again.

Reading a store whose file has changed either gives what it gave before, or raises: never other rows.
"""

import logging
import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from molbuffer.storage import IndexScope, SampleStore
from molbuffer.storage.errors import ArchiveError, ArraysError, FileDamagedError, PolicyDamagedError, StoreError
from molbuffer.storage.history.cache import DecodedCache
from molbuffer.storage.records import Checkpoint, Commit

FLIPS = 4


def flip(file: Path, rng: random.Random) -> Callable[[], None]:
    """Flip a random bit of a file, and return what turns it back."""
    content = bytearray(file.read_bytes())
    position, bit = rng.randrange(len(content)), rng.randrange(8)

    def change() -> None:
        content[position] ^= 1 << bit
        # A disk changes no time, and no name.
        with file.open("r+b") as opened:
            opened.write(content)

    change()
    return change


def training_rows(path: Path, cache: Path, make) -> list[object]:
    """What a training reads of a store: rewards, identities and arrays of all rows."""
    with SampleStore.open(path, read_only=True) as store:
        decoded = DecodedCache(store.cache_key, store._open.layout.arrays, cache)
        index = store.index(IndexScope(objective_sha256=make.OBJECTIVE), cache=decoded)
        positions = np.arange(len(index))
        rows = index.gather(positions)
        arrays = {name: array.tolist() for name, array in rows.columns().items()}
        return [repr(arrays), index.rewards.tolist(), index.smiles(positions), index.row_ids(positions)]


@pytest.fixture
def archive(filled, tmp_path) -> Path:
    filled.archive(tmp_path / "kept")
    return tmp_path / "kept"


KINDS = {
    # Which files, and the errors by which a training is told.
    "builds": ("store", "tables/main/builds/*.parquet", FileDamagedError),
    "samples": ("store", "tables/main/samples/*.parquet", FileDamagedError),
    "rewards": ("store", "tables/main/rewards/*.parquet", FileDamagedError),
    "scores": ("store", "tables/main/scores/*.parquet", FileDamagedError),
    "arrays": ("store", "arrays/*/*/c*", ArraysError),
    "descriptions of arrays": ("store", "arrays/*/*/zarr.json", ArraysError),
    "descriptions of segments": ("store", "arrays/*/zarr.json", ArraysError),
    "archived tables": ("archive", "tables/*/*.parquet", (FileDamagedError, ArchiveError)),
    "archived arrays": ("archive", "arrays/*/*/*", (ArraysError, ArchiveError)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_of_the_store_is_told_with_the_file(filled, request, make, tmp_path, kind):
    where, pattern, errors = KINDS[kind]
    root = filled.path if where == "store" else request.getfixturevalue("archive")
    before = training_rows(root, tmp_path / "cache-0", make)
    files, rng = sorted(root.glob(pattern)), random.Random(kind)
    told: list[str] = []
    for number in range(1, FLIPS + 1):
        file = rng.choice(files)
        turn_back = flip(file, rng)
        try:
            assert training_rows(root, tmp_path / f"cache-{number}", make) == before
        except errors as error:
            # Of a segment, the folder is named that a backup has.
            told.append(str(error) if segment_or_file(file, root) in str(error) else f"names not {file}: {error}")
        turn_back()
    assert not [text for text in told if text.startswith("names not")]
    # White space in a description may be any.
    assert len(told) == FLIPS or (kind.startswith("descriptions") and told)
    assert training_rows(root, tmp_path / "cache-0", make) == before


def segment_or_file(file: Path, root: Path) -> str:
    parts = file.relative_to(root).parts
    return parts[1] if parts[0] == "arrays" else str(file.relative_to(root))


@pytest.mark.parametrize("pattern", ["rows-*.bin", "manifest.json"])
def test_a_flipped_bit_of_the_decoded_cache_is_made_good(filled, make, tmp_path, caplog, pattern):
    before, rng = training_rows(filled.path, tmp_path / "cache", make), random.Random(pattern)
    warned = 0
    for _ in range(2 * FLIPS):
        (file,) = (tmp_path / "cache" / "decoded" / filled.uuid).glob(pattern)
        flip(file, rng)
        caplog.clear()
        with caplog.at_level(logging.WARNING, "molbuffer.storage.cache"):
            assert training_rows(filled.path, tmp_path / "cache", make) == before
        warned += bool(caplog.records)
    # A bit of a row that nobody trains on is not looked at.
    assert warned >= FLIPS // 2


def test_a_bit_that_flips_under_a_training_is_made_good_once_for_all_of_its_readers(filled, make, tmp_path):
    cache = DecodedCache(filled.uuid, filled.path / "arrays", tmp_path)
    first, second = (filled.index(IndexScope(objective_sha256=make.OBJECTIVE), cache=cache) for _ in range(2))
    fewer = first.without(np.array([0]))
    positions = np.arange(len(first))
    before = repr(first.gather(positions).columns())
    (file,) = (tmp_path / "decoded" / filled.uuid).glob("rows-*.bin")
    with file.open("r+b") as opened:
        # A page that was lost is one of zeros.
        opened.write(bytes(file.stat().st_size))
    for index in (first, second):
        assert repr(index.gather(positions).columns()) == before
        assert index.arrays.cached.records.path.exists()
    assert first.arrays.cached.records.path == second.arrays.cached.records.path
    assert np.array_equal(fewer.gather(positions[:-1]).rewards, first.rewards[1:])
    # What is damaged in the store, too, is told.
    rng = random.Random(1)
    for chunk in (filled.path / "arrays").glob("*/tokens/c*"):
        flip(chunk, rng)
    (file,) = (tmp_path / "decoded" / filled.uuid).glob("rows-*.bin")
    file.write_bytes(bytes(file.stat().st_size))
    with pytest.raises(ArraysError):
        first.gather(positions)


def test_rows_that_move_in_the_cache_are_not_copied_when_they_are_damaged(filled, make, tmp_path):
    """Wider rows lead to a copy of the file, whose new checksums must not hide the damage."""
    before = training_rows(filled.path, tmp_path / "other", make)
    cache = DecodedCache(filled.uuid, filled.path / "arrays", tmp_path)
    segments = sorted(path.name for path in (filled.path / "arrays").iterdir())
    cache.pin(segments[:-1])
    (file,) = (tmp_path / "decoded" / filled.uuid).glob("rows-*.bin")
    flip(file, random.Random(3))
    manifest = cache._current()
    wider = manifest.layout.__class__(manifest.layout.dtypes, {**manifest.layout.widths, "tokens": 160})
    with pytest.raises(Exception, match="damaged"):
        cache._rewrite(manifest, wider, manifest.segments)
    assert training_rows(filled.path, tmp_path, make) == before


def test_a_flipped_bit_of_a_checkpoint_or_policy_is_told_with_the_file(filled, tmp_path):
    sha256 = filled.policies.add({"weights.safetensors": os.urandom(500), "config.json": b"{}"})
    filled.commit(
        Commit(checkpoint=Checkpoint("run-1", 7, {"tensors.safetensors": os.urandom(500), "state.json": b"{}"}))
    )
    folder, rng = filled.latest_checkpoint("run-1").folder, random.Random(5)
    for file in (*sorted(folder.iterdir()), *sorted(filled.policies.folder(sha256).iterdir())):
        for _ in range(FLIPS):
            turn_back = flip(file, rng)
            with pytest.raises((FileDamagedError, PolicyDamagedError)) as told:
                filled.latest_checkpoint("run-1")
                filled.policies.folder(sha256)
            assert str(file.parent) in str(told.value)
            turn_back()
    (folder / "state.json").unlink()
    with pytest.raises(FileDamagedError):
        filled.latest_checkpoint("run-1")


def test_files_that_maintenance_writes_have_checksums(filled, make, tmp_path):
    from datetime import timedelta

    before = training_rows(filled.path, tmp_path / "cache", make)
    filled.maintenance.compact()
    filled.maintenance.expire(older_than=timedelta(0))
    recorded = filled._catalog.recorded_checksums()
    files = {
        str(path.relative_to(filled.path))
        for source in filled._catalog.sources(["builds", "rewards", "samples"], filled.snapshot()).values()
        for path in source.paths
    }
    assert files <= recorded.keys()
    flip(filled.path / sorted(files)[-1], random.Random(7))
    with pytest.raises(StoreError):
        training_rows(filled.path, tmp_path / "cache", make)
    assert before
