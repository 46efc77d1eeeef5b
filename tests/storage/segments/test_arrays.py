"""Segments come back as they were written, and damage is found and named."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from molbuffer.storage.errors import ArraysError
from molbuffer.storage.rows import Rows
from molbuffer.storage.segments.segment import ARRAYS, read_segment, write_segment


def make_block(n: int, width: int = 12, *, seed: int = 0, latents: int | None = None, vocabulary: str = "v") -> Rows:
    rng = np.random.default_rng(seed)
    return Rows(
        tokens=rng.integers(1, 40, (n, width)).astype(np.uint8),
        lengths=rng.integers(1, width + 1, n).astype(np.int32),
        log_probs=rng.normal(size=(n, width)).astype(np.float32),
        vocabulary_sha256=vocabulary,
        latents=None if latents is None else rng.normal(size=(n, latents)).astype(np.float32),
    )


def make_pairs(n: int, width: int = 12, *, sources: int = 9, seed: int = 0) -> Rows:
    """A block with every array that there is; its first row has no source."""
    rng = np.random.default_rng(seed)
    more = {
        "latent_log_probs": rng.normal(size=n).astype(np.float32),
        "source_tokens": rng.integers(1, 40, (n, sources)).astype(np.uint8),
        "source_lengths": np.r_[0, rng.integers(1, sources + 1, n - 1)].astype(np.int32),
    }
    return replace(make_block(n, width, seed=seed, latents=3), **more)


def test_blocks_come_back_at_their_offsets(tmp_path: Path) -> None:
    blocks = [make_block(3, 12, seed=1), make_block(5, 20, seed=2), make_block(2, 7, seed=3)]
    offsets = write_segment(tmp_path / "s", blocks)
    assert offsets == [0, 3, 8]
    for block, offset in zip(blocks, offsets, strict=True):
        rows = read_segment(tmp_path / "s", offset, len(block))
        width = block.tokens.shape[1]
        assert rows.tokens.shape == (len(block), 20)
        assert np.array_equal(rows.tokens[:, :width], block.tokens)
        assert not rows.tokens[:, width:].any()
        assert np.array_equal(rows.log_probs[:, :width], block.log_probs)
        assert not rows.log_probs[:, width:].any()
        assert np.array_equal(rows.lengths, block.lengths)
        assert rows.latents is None
        assert rows.vocabulary_sha256 == "v"


def test_types_and_nan_survive(tmp_path: Path) -> None:
    block = make_block(4)
    block.log_probs[1] = np.nan
    wide = replace(make_block(2), tokens=np.full((2, 12), 1000, np.uint16))
    write_segment(tmp_path / "s", [block, wide])
    rows = read_segment(tmp_path / "s")
    assert (rows.tokens.dtype, rows.lengths.dtype, rows.log_probs.dtype) == (np.uint16, np.int32, np.float32)
    assert np.isnan(rows.log_probs[1]).all()
    assert (rows.tokens[4:] == 1000).all()


def test_latents_are_nan_where_a_block_has_none(tmp_path: Path) -> None:
    with_latents, narrow = make_block(3, latents=6), make_block(2, latents=4, seed=5)
    write_segment(tmp_path / "s", [make_block(2), with_latents, narrow])
    latents = read_segment(tmp_path / "s").latents
    assert latents is not None
    assert latents.shape == (7, 6)
    assert np.isnan(latents[:2]).all()
    assert np.array_equal(latents[2:5], with_latents.latents)
    assert np.array_equal(latents[5:, :4], narrow.latents)
    assert np.isnan(latents[5:, 4:]).all()


def test_sources_and_densities_are_empty_where_a_block_has_none(tmp_path: Path) -> None:
    pairs, narrow = make_pairs(3, sources=9), make_pairs(2, sources=4, seed=1)
    wide = replace(narrow, source_tokens=np.full((2, 4), 700, np.uint16))
    write_segment(tmp_path / "s", [make_block(2), pairs, wide])
    rows = read_segment(tmp_path / "s")
    assert rows.source_tokens is not None and rows.source_lengths is not None and rows.latent_log_probs is not None
    assert (rows.tokens.dtype, rows.source_tokens.dtype, rows.source_tokens.shape) == (np.uint8, np.uint16, (7, 9))
    assert rows.source_lengths.tolist() == [0, 0, *pairs.source_lengths.tolist(), *wide.source_lengths.tolist()]
    assert not rows.source_tokens[:2].any() and not rows.source_tokens[5:, 4:].any()
    assert np.array_equal(rows.source_tokens[2:5], pairs.source_tokens)
    assert (rows.source_tokens[5:, :4] == 700).all()
    assert np.isnan(rows.latent_log_probs[:2]).all()
    assert np.array_equal(rows.latent_log_probs[2:5], pairs.latent_log_probs)
    part = rows.take(slice(2, 4))
    assert part.source_lengths is not None and part.source_lengths.tolist() == pairs.source_lengths[:2].tolist()


def test_arrays_of_another_release_are_refused(tmp_path: Path) -> None:
    write_segment(tmp_path / "s", [make_pairs(2)])
    header = tmp_path / "s" / "zarr.json"
    said = json.loads(header.read_text())
    said["attributes"]["arrays"] = [*ARRAYS, "charges"]
    header.write_text(json.dumps(said))
    with pytest.raises(ArraysError, match="'charges'"):
        read_segment(tmp_path / "s")
    said["attributes"]["arrays"] = [name for name in ARRAYS if name != "source_lengths"]
    header.write_text(json.dumps(said))
    with pytest.raises(ArraysError, match=r"source_tokens|source_lengths"):
        read_segment(tmp_path / "s")


@pytest.mark.parametrize(("n", "width"), [(0, 12), (0, 0), (3, 0)])
def test_nothing_to_write_is_still_a_segment(tmp_path: Path, n: int, width: int) -> None:
    assert write_segment(tmp_path / "s", [make_block(0), make_block(n, max(width, 1))]) == [0, 0]
    assert len(read_segment(tmp_path / "s")) == n


def test_rows_without_tokens(tmp_path: Path) -> None:
    empty = Rows(
        tokens=np.zeros((2, 0), np.uint8), lengths=np.zeros(2, np.int32), log_probs=np.zeros((2, 0), np.float32),
        vocabulary_sha256="v",
    )  # fmt: skip
    write_segment(tmp_path / "s", [empty])
    assert read_segment(tmp_path / "s").tokens.shape == (2, 0)


def test_blocks_of_zeros_are_written_and_not_taken_for_missing(tmp_path: Path) -> None:
    block = make_block(3)
    block.log_probs[:] = 0
    write_segment(tmp_path / "s", [block])
    assert not read_segment(tmp_path / "s").log_probs.any()


def test_a_segment_is_written_once(tmp_path: Path) -> None:
    write_segment(tmp_path / "s", [make_block(3)])
    with pytest.raises(ArraysError, match=str(tmp_path / "s")):
        write_segment(tmp_path / "s", [make_block(3)])


@pytest.mark.parametrize("blocks", [[], [make_block(1, vocabulary="a"), make_block(1, vocabulary="b")]])
def test_one_vocabulary_is_needed(tmp_path: Path, blocks: list[Rows]) -> None:
    with pytest.raises(ArraysError, match="vocabular"):
        write_segment(tmp_path / "s", blocks)


def test_rows_outside_are_refused(tmp_path: Path) -> None:
    write_segment(tmp_path / "s", [make_block(3)])
    with pytest.raises(ArraysError, match=r"3 rows.* 2 to 4"):
        read_segment(tmp_path / "s", 2, 2)


def test_a_missing_segment_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArraysError, match=str(tmp_path / "gone")):
        read_segment(tmp_path / "gone")


@pytest.mark.parametrize("name", list(ARRAYS))
@pytest.mark.parametrize("damage", ["flip", "truncate", "lose", "lose array"])
def test_damage_is_found_and_named(tmp_path: Path, name: str, damage: str) -> None:
    write_segment(tmp_path / "s", [make_pairs(50)])
    (chunk,) = (tmp_path / "s" / name).glob("c*")
    data = bytearray(chunk.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 0x10
        chunk.write_bytes(data)
    elif damage == "truncate":
        chunk.write_bytes(data[: len(data) // 2])
    elif damage == "lose":
        chunk.unlink()
    else:
        shutil.rmtree(chunk.parent)
    with pytest.raises(ArraysError, match=rf"'{name}' .*{tmp_path}/s"):
        read_segment(tmp_path / "s")


def test_a_damaged_header_is_found(tmp_path: Path) -> None:
    write_segment(tmp_path / "s", [make_block(2)])
    header = tmp_path / "s" / "zarr.json"
    saved = header.read_text()
    header.write_text(saved[:20])
    with pytest.raises(ArraysError, match=r"zarr\.json"):
        read_segment(tmp_path / "s")
    other = json.loads(saved)
    other["attributes"]["format"] = "molbuffer-segment-99"
    header.write_text(json.dumps(other))
    with pytest.raises(ArraysError, match=r"'molbuffer-segment-99'.*'molbuffer-segment-1'"):
        read_segment(tmp_path / "s")
