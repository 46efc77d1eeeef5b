"""Rows are checked where they are made, and cut, joined and filled by the definitions of their columns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from molbuffer.storage.records import Samples
from molbuffer.storage.rows import COLUMNS, Rows


def make_rows(n: int = 3, width: int = 5, **more: Any) -> Rows:
    """Rows of as many tokens as their place says, less than the width."""
    lengths = (np.arange(n) % width).astype(np.int32)
    inside = np.arange(width) < lengths[:, None]
    return Rows(
        tokens=np.where(inside, 7, 0).astype(np.uint8),
        lengths=lengths,
        log_probs=np.where(inside, -1.5, 0).astype(np.float32),
        **more,
    )


def pairs(n: int, width: int = 4, dtype: type[np.unsignedinteger] = np.uint8) -> dict[str, Any]:
    return {"source_tokens": np.full((n, width), 9, dtype), "source_lengths": np.full(n, width, np.int32)}


def assert_same(one: Rows, other: Rows) -> None:
    assert one.columns().keys() == other.columns().keys()
    for name, column in one.columns().items():
        np.testing.assert_array_equal(column, getattr(other, name), name)
        assert column.dtype == getattr(other, name).dtype, name


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"tokens": np.zeros((3, 5), np.int64)}, "tokens"),
        ({"lengths": np.zeros(3, np.int64)}, "lengths"),
        ({"log_probs": np.zeros((3, 4), np.float32)}, "log_probs"),
        ({"log_probs": np.zeros((2, 5), np.float32)}, "log_probs"),
        ({"latents": np.zeros(3, np.float32)}, "latents"),
        ({"latents": np.zeros((3, 2))}, "latents"),
        ({"latent_log_probs": np.zeros((3, 1), np.float32)}, "latent_log_probs"),
        ({"rewards": np.zeros(2)}, "rewards"),
        ({"source_tokens": np.zeros((3, 2), np.uint8)}, "source_lengths"),
        ({"source_lengths": np.zeros(3, np.int32)}, "source_tokens"),
    ],
)
def test_columns_that_do_not_belong_together_are_refused_by_name(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=f"'{named}'"):
        replace(make_rows(), **changes)


def test_a_part_is_a_view_and_a_choice_is_a_copy() -> None:
    rows = make_rows(4, rewards=np.arange(4.0), **pairs(4))
    part, mask = rows.take(slice(1, 3)), np.array([False, True, True, False])
    assert_same(part, rows.take([1, 2]))
    assert_same(part, rows.take(mask))
    for name, column in part.columns().items():
        assert np.shares_memory(column, getattr(rows, name)), name
        assert not np.shares_memory(getattr(rows.take(mask), name), getattr(rows, name)), name
    assert len(rows.take([])) == 0


def test_rows_are_trimmed_to_the_longest_without_a_copy() -> None:
    rows = make_rows(3, 9, **pairs(3, 6), latents=np.ones((3, 4), np.float32))
    rows.source_lengths[:] = [0, 2, 1]
    narrow = rows.trimmed()
    shapes = {name: column.shape[1:] for name, column in narrow.columns().items()}
    assert shapes == {
        "tokens": (2,), "lengths": (), "log_probs": (2,), "latents": (4,), "source_tokens": (2,), "source_lengths": (),
    }  # fmt: skip
    assert all(np.shares_memory(column, getattr(rows, name)) for name, column in narrow.columns().items())
    assert make_rows(1).trimmed().tokens.shape == (1, 1)


def test_parts_are_padded_to_the_widest_and_filled_where_one_has_nothing() -> None:
    plain = make_rows(2, 5)
    latent = make_rows(2, 3, latents=np.ones((2, 2), np.float32), latent_log_probs=np.ones(2, np.float32))
    once = {"rewards": np.ones(1), "truncated": np.ones(1, np.uint8), "latents": np.ones((1, 3), np.float32)}
    once |= {"weights": np.full(1, 2, np.float32), "penalties": np.zeros(1, np.float32)}
    once |= {"bonuses": np.ones(1, np.float32)}
    paired = make_rows(1, 4, **once, **pairs(1, 4, np.uint16))
    rows = Rows.concat([plain, latent, paired])
    assert rows.tokens.shape == rows.log_probs.shape == (5, 5)
    assert rows.lengths.tolist() == [0, 1, 0, 1, 0]
    assert not rows.tokens[2:, 3:].any() and not rows.log_probs[2:, 3:].any()
    nan = np.nan
    expected = [[nan] * 3, [nan] * 3, [1, 1, nan], [1, 1, nan], [1, 1, 1]]
    np.testing.assert_array_equal(rows.latents, np.array(expected, np.float32))
    np.testing.assert_array_equal(rows.latent_log_probs, np.array([nan, nan, 1, 1, nan], np.float32))
    np.testing.assert_array_equal(rows.rewards, [nan, nan, nan, nan, 1])
    np.testing.assert_array_equal(rows.truncated, [0, 0, 0, 0, 1])
    np.testing.assert_array_equal(rows.weights, [1, 1, 1, 1, 2])
    np.testing.assert_array_equal(rows.penalties, [1, 1, 1, 1, 0])
    assert rows.source_lengths is not None and rows.source_lengths.tolist() == [0, 0, 0, 0, 4]
    assert rows.source_tokens is not None and rows.source_tokens.sum(1).tolist() == [0, 0, 0, 0, 36]
    assert (rows.tokens.dtype, rows.source_tokens.dtype) == (np.uint8, np.uint16)
    assert {name for name in COLUMNS if getattr(rows, name) is not None} == COLUMNS.keys()


def test_types_are_widened_only_where_a_part_needs_it() -> None:
    wide = replace(make_rows(), tokens=make_rows().tokens.astype(np.uint16) * 100)
    assert Rows.concat([make_rows(), make_rows()]).tokens.dtype == np.uint8
    joined = Rows.concat([make_rows(), wide])
    assert joined.tokens.dtype == np.uint16
    assert_same(joined.take(slice(3, 6)), wide)


def test_the_last_part_says_what_a_row_is_in_every_column() -> None:
    old = make_rows(3, 5, latents=np.ones((3, 2), np.float32), rewards=np.ones(3))
    old.lengths[:], old.tokens[:] = 5, 3
    new = make_rows(1, 2, rewards=np.zeros(1))
    rows = Rows.placed(3, [(slice(None), old), (np.array([1]), new)])
    assert rows.tokens.tolist() == [[3] * 5, [0] * 5, [3] * 5]
    assert rows.lengths.tolist() == [5, 0, 5]
    assert rows.rewards is not None and rows.rewards.tolist() == [1, 0, 1]
    assert rows.latents is not None and np.isnan(rows.latents).any(1).tolist() == [False, True, False]


def test_rows_of_several_vocabularies_name_none() -> None:
    ours, theirs = (replace(make_rows(), vocabulary_sha256=name) for name in ("ours", "theirs"))
    assert Rows.concat([ours, ours]).vocabulary_sha256 == "ours"
    assert Rows.concat([ours, theirs]).vocabulary_sha256 is None
    assert ours.take([0]).vocabulary_sha256 == ours.trimmed().vocabulary_sha256 == "ours"


def test_blank_rows_have_nothing() -> None:
    blank = Rows.blank(2, "v")
    assert (len(blank), blank.vocabulary_sha256) == (2, "v")
    assert blank.columns().keys() == {name for name, column in COLUMNS.items() if column.required}
    assert not any(column.any() for column in blank.columns().values())


def test_samples_need_as_many_of_everything_and_a_vocabulary() -> None:
    rows = replace(make_rows(3), vocabulary_sha256="v")
    assert Samples(["C"] * 3, [None] * 3, ["validity"] * 3, rows).vocabulary_sha256 == "v"
    for wrong in (
        {"smiles": ["C"]},
        {"rejected_by": [None] * 4},
        {"rows": rows.take([0, 1])},
        {"source_smiles": ["C"] * 2},
        {"source_rows": []},
        {"rows": make_rows(3)},
    ):
        with pytest.raises(ValueError, match="build"):
            Samples(**({"raw": ["C"] * 3, "smiles": ["C"] * 3, "rejected_by": [None] * 3, "rows": rows} | wrong))
