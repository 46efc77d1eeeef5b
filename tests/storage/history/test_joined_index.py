"""The rows of several stores as one index: in order, each once, and readable as those of one store are."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pytest

from molbuffer.storage import SampleStore
from molbuffer.storage.history.cache import DecodedCache
from molbuffer.storage.history.index import HistoryIndex, IndexScope
from molbuffer.storage.history.joined import join_indexes
from molbuffer.storage.records import Commit, Consumed, RowId

OBJECTIVE = "objective-1"
SCOPE = IndexScope(objective_sha256=OBJECTIVE)
TRAINABLE = [0, 3, 4, 5]


@pytest.fixture
def stores(started_template: Path, tmp_path: Path, make: ModuleType) -> Iterator[list[SampleStore]]:
    """Three stores: with builds 0 and 1, with 1 and 2, and with none."""
    with ExitStack() as opened:
        found = []
        for number in range(3):
            path = shutil.copytree(started_template, tmp_path / f"store-{number}")
            found.append(opened.enter_context(SampleStore.open(path)))
        for store, iterations in zip(found, ((0, 1), (1, 2)), strict=False):
            for iteration in iterations:
                store.commit(Commit([make.make_build(iteration, seed=iteration)]))
        yield found


def index_of(store: SampleStore, tmp_path: Path, scope: IndexScope = SCOPE) -> HistoryIndex:
    return store.index(scope, cache=DecodedCache(store.path.name, store.path / "arrays", folder=tmp_path / "cache"))


@pytest.fixture
def joined(stores: list[SampleStore], tmp_path: Path) -> HistoryIndex:
    return join_indexes([index_of(store, tmp_path) for store in stores])


def test_rows_follow_one_another_and_those_of_two_stores_count_once(
    joined: HistoryIndex, stores: list[SampleStore], tmp_path: Path, make: ModuleType
) -> None:
    builds = [make.make_build(iteration).build_id for iteration in range(3)]
    every = np.arange(len(joined))
    assert joined.row_ids(every) == [RowId(build, row) for build in builds for row in TRAINABLE]
    assert joined.iterations.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert joined.rewards.tolist() == [0, 0.3, 0.4, 0.5] * 3
    first, second = (index_of(store, tmp_path) for store in stores[:2])
    assert joined.smiles(every) == [*first.smiles(np.arange(8)), *second.smiles(np.arange(4, 8))]
    assert joined.raw(every[::-1]) == joined.smiles(every)[::-1]
    assert joined.read("smiles", np.array([9, 1])) == [joined.smiles(every)[9], joined.smiles(every)[1]]


def test_arrays_come_from_the_store_that_a_row_is_of(
    joined: HistoryIndex, stores: list[SampleStore], tmp_path: Path
) -> None:
    first, second = (index_of(store, tmp_path) for store in stores[:2])
    mixed = joined.gather(np.array([10, 1, 9]))
    one, other = first.gather(np.array([1])), second.gather(np.array([6, 5]))
    for row, (of, at) in enumerate([(other, 0), (one, 0), (other, 1)]):
        length = of.lengths[at]
        assert mixed.lengths[row] == length
        np.testing.assert_array_equal(mixed.tokens[row, :length], of.tokens[at, :length])
        np.testing.assert_array_equal(mixed.log_probs[row, :length], of.log_probs[at, :length])
    assert mixed.rewards is not None
    assert mixed.rewards.tolist() == joined.rewards[[10, 1, 9]].tolist()


def test_some_rows_can_be_left_out_and_consumed_ones_found(joined: HistoryIndex, make: ModuleType) -> None:
    fewer = joined.without(np.array([0, 8]))
    assert len(fewer) == 10
    assert fewer.smiles(np.array([0, 9])) == joined.smiles(np.array([1, 11]))
    np.testing.assert_array_equal(fewer.gather(np.array([9])).tokens, joined.gather(np.array([11])).tokens)
    last = make.make_build(2).build_id
    assert joined.times_consumed([Consumed(last, [3, 5, 1], 0)]).tolist() == [0] * 9 + [1, 0, 1]


def test_rows_of_a_build_are_found_in_each_store_that_has_some(
    stores: list[SampleStore], tmp_path: Path, make: ModuleType
) -> None:
    first, second = (index_of(store, tmp_path) for store in stores[:2])
    build = make.make_build(1).build_id
    joined = join_indexes([first.without(first.positions_of(build, [0, 4])), second])
    places = joined.positions_of(build, [5, 0, 99, 4, 3])
    assert joined.row_ids(places) == [RowId(build, row) for row in (5, 0, 4, 3)]
    times = joined.times_consumed([Consumed(build, TRAINABLE, 0)])
    assert [times[place] for place in places] == [1] * 4
    assert times.sum() == 4


def test_a_predicate_applies_to_the_rows_of_all_stores(joined: HistoryIndex) -> None:
    assert joined.matching("iteration IN (0, 2) AND reward > 0.35").tolist() == [
        iteration != 1 and reward > 0.35 for iteration in range(3) for reward in (0, 0.3, 0.4, 0.5)
    ]
    fewer = joined.without(np.array([0, 11]))
    assert fewer.matching("iteration = 2").tolist() == [False] * 7 + [True] * 3


def test_one_index_is_itself(stores: list[SampleStore], tmp_path: Path) -> None:
    index = index_of(stores[0], tmp_path)
    assert join_indexes([index]) is index


def test_given_rewards_count_for_rows_without_one(stores: list[SampleStore], tmp_path: Path, make: ModuleType) -> None:
    build = make.make_build(0).build_id
    given = pa.table({"build_id": [build] * 3, "row": pa.array([0, 3, 2], pa.int32()), "value": [0.9, 0.8, 0.7]})
    other = index_of(stores[0], tmp_path, IndexScope(objective_sha256="another", more_rewards=given))
    # Row 2 was refused by a filter.
    assert other.row_ids(np.arange(len(other))) == [RowId(build, 0), RowId(build, 3)]
    assert other.rewards.tolist() == [0.9, 0.8]
    same = index_of(stores[0], tmp_path, IndexScope(objective_sha256=OBJECTIVE, more_rewards=given))
    assert same.rewards.tolist() == [0, 0.3, 0.4, 0.5] * 2
