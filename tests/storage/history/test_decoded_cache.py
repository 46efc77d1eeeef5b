"""The decoded cache gives what the segments hold, costs only what is new, and survives kills and meddling."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import molbuffer.storage.history.cache
from molbuffer.storage.errors import ArraysError, CacheError
from molbuffer.storage.history.cache import LOCATION_VARIABLE, DecodedCache, default_folder, evict
from molbuffer.storage.rows import Rows
from molbuffer.storage.segments.segment import read_segment, write_segment


def write(arrays: Path, name: str, n: int = 5, width: int = 12, latents: int | None = None, token: int = 40) -> None:
    rng = np.random.default_rng(list(name.encode()))
    dtype = np.uint8 if token < 256 else np.uint16
    block = Rows(
        tokens=rng.integers(1, token + 1, (n, width)).astype(dtype),
        lengths=rng.integers(1, width + 1, n).astype(np.int32),
        log_probs=rng.normal(size=(n, width)).astype(np.float32),
        vocabulary_sha256=f"vocabulary of {name}",
        latents=None if latents is None else rng.normal(size=(n, latents)).astype(np.float32),
    )
    write_segment(arrays / name, [block])


@pytest.fixture
def arrays(tmp_path: Path) -> Path:
    for name in "abc":
        write(tmp_path / "arrays", name)
    return tmp_path / "arrays"


def cache_of(arrays: Path, **settings: int) -> DecodedCache:
    return DecodedCache("store-1", arrays, folder=arrays.parent / "cache", **settings)


def own_folder(cache: DecodedCache) -> Path:
    return cache.folder / "decoded" / cache.store_uuid


def assert_holds(cache: DecodedCache, names: str) -> None:
    """Every segment, gathered in reverse, equals what Zarr has."""
    pinned = cache.pin(list(names))
    for name in names:
        segment, place = read_segment(cache.arrays / name), pinned.segments[name]
        assert place.vocabulary_sha256 == f"vocabulary of {name}"
        assert place.rows == len(segment)
        got = pinned.gather(place.position + np.arange(len(segment))[::-1])
        n, width = segment.tokens.shape
        assert np.array_equal(got.tokens[::-1, :width], segment.tokens)
        assert not got.tokens[:, width:].any()
        assert np.array_equal(got.log_probs[::-1, :width], segment.log_probs)
        assert not got.log_probs[:, width:].any()
        assert np.array_equal(got.lengths[::-1], segment.lengths)
        latents = np.full((n, 0), np.nan) if segment.latents is None else segment.latents
        found = np.full((n, 0), np.nan) if got.latents is None else got.latents
        assert np.array_equal(found[::-1, : latents.shape[1]], latents)
        assert np.isnan(found[:, latents.shape[1] :]).all()
        assert place.optional == ({} if segment.latents is None else {"latents": latents.shape[1]})


def test_gather_equals_the_segments(arrays: Path) -> None:
    assert_holds(cache_of(arrays), "abc")
    assert_holds(cache_of(arrays), "ca")


def test_gathered_columns_are_fresh_memory_that_torch_can_take(arrays: Path) -> None:
    torch = pytest.importorskip("torch")
    pinned = cache_of(arrays).pin(["a"])
    rows = pinned.gather(np.array([1, 1, 0]))
    for column in rows.columns().values():
        assert torch.from_numpy(column).data_ptr() == column.__array_interface__["data"][0] or column.size == 0
        assert column.flags.writeable
        assert not np.shares_memory(column, pinned.records._records)


def test_a_new_segment_costs_only_itself(arrays: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    monkeypatch.setattr(
        molbuffer.storage.history.cache, "read_segment", lambda path: decoded.append(path.name) or read_segment(path)
    )
    cache = cache_of(arrays)
    before = cache.pin(["a", "b"])
    rows_file = next(own_folder(cache).glob("rows-*.bin"))
    cache.pin(["b", "a"])
    after = cache.pin(["a", "b", "c"])
    assert decoded == ["a", "b", "c"]
    assert list(own_folder(cache).glob("rows-*.bin")) == [rows_file]
    assert after.segments["a"] == before.segments["a"]
    assert len(before.records) == 10
    assert np.array_equal(before.records.take(np.arange(10)), after.records.take(np.arange(10)))


def test_wider_rows_lead_to_a_new_file_and_readers_keep_the_old(arrays: Path) -> None:
    cache = cache_of(arrays)
    old = cache.pin(list("abc"))
    was = old.records.take(np.arange(15))
    write(arrays, "wide", width=70)
    write(arrays, "latent", latents=6)
    write(arrays, "tokens", token=3000)
    for name in ("wide", "latent", "tokens"):
        cache.pin([name])
        assert_holds(cache, "abc")
        assert len(list(own_folder(cache).glob("rows-*.bin"))) == 1
    for name in ("wide", "latent", "tokens"):
        pinned, segment = cache.pin([name]), read_segment(arrays / name)
        got = pinned.gather(pinned.segments[name].position + np.arange(5))
        assert np.array_equal(got.tokens[:, : segment.tokens.shape[1]], segment.tokens)
        assert np.array_equal(
            got.latents, np.full((5, 6), np.nan) if segment.latents is None else segment.latents, True
        )
    assert np.array_equal(old.records.take(np.arange(15)), was)


def test_empty_segments_and_no_segments(arrays: Path) -> None:
    write(arrays, "z", n=0)
    cache = cache_of(arrays)
    assert len(cache.pin([]).records) == 0
    assert_holds(cache, "z")
    assert_holds(cache, "az")


def test_portions_do_not_show(arrays: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(molbuffer.storage.history.cache, "_PORTION_ROWS", 3)
    assert_holds(cache_of(arrays), "abc")
    write(arrays, "w", width=40)
    assert_holds(cache_of(arrays), "abcw")


def test_a_missing_segment_is_named_and_spares_the_others(arrays: Path) -> None:
    cache = cache_of(arrays)
    with pytest.raises(ArraysError, match="gone"):
        cache.pin(["a", "gone"])
    assert_holds(cache, "abc")


def test_a_tail_left_by_a_killed_writer_is_overwritten(arrays: Path) -> None:
    cache = cache_of(arrays)
    cache.pin(["a"])
    rows_file = next(own_folder(cache).glob("rows-*.bin"))
    with rows_file.open("ab") as file:
        file.write(b"\xff" * 12345)
    assert_holds(cache, "a")
    assert_holds(cache, "abc")


@pytest.mark.parametrize("meddling", ["truncate", "empty", "lose rows", "lose manifest", "cut manifest", "stale"])
def test_whatever_is_wrong_is_decoded_again(arrays: Path, meddling: str) -> None:
    cache = cache_of(arrays)
    cache.pin(["a", "b"])
    manifest = own_folder(cache) / "manifest.json"
    (rows_file,) = own_folder(cache).glob("rows-*.bin")
    if meddling == "truncate":
        os.truncate(rows_file, rows_file.stat().st_size - 1)
    elif meddling == "empty":
        os.truncate(rows_file, 0)
    elif meddling == "lose rows":
        rows_file.unlink()
    elif meddling == "lose manifest":
        manifest.unlink()
    elif meddling == "cut manifest":
        manifest.write_text(manifest.read_text()[:30])
    else:
        # As when a backup brings back an older manifest, whose rows file has been replaced since.
        stale = manifest.read_text()
        write(arrays, "w", width=40)
        cache.pin(["w"])
        manifest.write_text(stale)
    assert_holds(cache, "abc")
    assert len(list(own_folder(cache).glob("rows-*.bin"))) == 1


_KILLED = """
import os, signal, sys
from pathlib import Path
import molbuffer.storage.history.cache
from molbuffer.storage.history.cache import DecodedCache
def killed(folder, manifest):
    os.kill(os.getpid(), signal.SIGKILL)
molbuffer.storage.history.cache.write_manifest = killed
DecodedCache("store-1", Path(sys.argv[1]), folder=Path(sys.argv[2])).pin(["b", "c"])
"""


def test_a_process_killed_before_it_lists_its_rows_leaves_no_trace(arrays: Path) -> None:
    cache = cache_of(arrays)
    cache.pin(["a"])
    (rows_file,) = own_folder(cache).glob("rows-*.bin")
    listed = rows_file.stat().st_size
    command = [sys.executable, "-c", _KILLED, str(arrays), str(cache.folder)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert rows_file.stat().st_size == 3 * listed
    assert len(cache.pin(["a"]).records) == 5
    assert_holds(cache, "abc")


_PINS = """
import sys
from pathlib import Path
from molbuffer.storage.history.cache import DecodedCache
cache = DecodedCache("store-1", Path(sys.argv[1]), folder=Path(sys.argv[2]))
for name in sys.argv[3]:
    cache.pin([name])
"""


def test_two_processes_that_append_at_once_decode_each_segment_once(arrays: Path) -> None:
    for name in "defgh":
        write(arrays, name, width=12 if name < "f" else 30)
    cache = cache_of(arrays)
    orders = ["abcdefgh", "hgfedcba"]
    processes = [
        subprocess.Popen([sys.executable, "-c", _PINS, str(arrays), str(cache.folder), order]) for order in orders
    ]
    assert [process.wait(600) for process in processes] == [0, 0]
    assert len(cache.pin(list("abcdefgh")).records) == 8 * 5
    assert_holds(cache, "abcdefgh")


def test_the_store_used_longest_ago_is_evicted(arrays: Path) -> None:
    caches = [DecodedCache(f"store-{i}", arrays, folder=arrays.parent / "cache") for i in range(3)]
    for age, cache in zip((50, 100, 10), caches, strict=True):
        cache.pin(["a", "b"])
        manifest = own_folder(cache) / "manifest.json"
        os.utime(manifest, (manifest.stat().st_mtime - age,) * 2)
    caches[1].pin(["a"])  # Use makes it the youngest.
    foreign = arrays.parent / "cache" / "decoded" / "store-0" / "thesis.txt"
    foreign.write_text("not ours")
    one = sum(file.stat().st_size for file in own_folder(caches[2]).iterdir())
    assert evict(caches[0].folder, int(2.5 * one)) <= 2.5 * one
    left = [(own_folder(cache) / "manifest.json").exists() for cache in caches]
    assert left == [False, True, True]
    assert foreign.exists()
    assert_holds(caches[0], "abc")


def test_growth_over_the_limit_evicts_others_then_what_is_not_asked_for(arrays: Path) -> None:
    other = DecodedCache("store-2", arrays, folder=arrays.parent / "cache")
    other.pin(["a"])
    cache = cache_of(arrays, limit_bytes=2000)  # Five rows take 5 * 84 bytes.
    kept = cache.pin(["a", "b"])
    assert (own_folder(other) / "manifest.json").exists()
    for name in "defgh":
        write(arrays, name)
        cache.pin([name])
    assert not (own_folder(other) / "manifest.json").exists()
    (rows_file,) = own_folder(cache).glob("rows-*.bin")
    assert rows_file.stat().st_size <= 2000
    assert np.array_equal(kept.gather(np.arange(5)).lengths, read_segment(arrays / "a").lengths)
    assert_holds(cache, "abcdefgh")  # More than the limit, but asked for.


def test_where_the_cache_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LOCATION_VARIABLE, raising=False)
    assert default_folder().name == "molbuffer"
    monkeypatch.setenv(LOCATION_VARIABLE, str(tmp_path / "elsewhere"))
    assert default_folder() == tmp_path / "elsewhere"
    assert DecodedCache("u", tmp_path).folder == tmp_path / "elsewhere"


def test_a_full_disk_is_told_in_words(arrays: Path) -> None:
    resource = pytest.importorskip("resource")
    code = (
        "import resource, signal, sys\nfrom pathlib import Path\n"
        "from molbuffer.storage.history.cache import DecodedCache\n"
        "from molbuffer.storage.errors import CacheError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nresource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))\n"
        "try:\n    DecodedCache('store-1', Path(sys.argv[1]), folder=Path(sys.argv[2])).pin(['a', 'b'])\n"
        "except CacheError as error:\n    sys.exit(str(error))\n"
    )
    assert resource is not None
    command = [sys.executable, "-c", code, str(arrays), str(arrays.parent / "cache")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert "cannot write the decoded cache" in done.stderr
    assert "ulimit -f" in done.stderr
    assert_holds(cache_of(arrays), "abc")


def test_a_cache_that_cannot_be_made_is_told_in_words(arrays: Path) -> None:
    (arrays.parent / "cache").write_text("a file in the way")
    with pytest.raises(CacheError, match="MOLBUFFER_CACHE"):
        cache_of(arrays).pin(["a"])
