"""The index has the rows it should, in the order it should, and gathers what was stored."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray

from molbuffer.storage import SampleStore
from molbuffer.storage.errors import ArraysError, PredicateError
from molbuffer.storage.history.cache import DecodedCache
from molbuffer.storage.history.index import HistoryIndex, IndexScope
from molbuffer.storage.history.selections import ConsumeOnce, Prioritized, Recent, TopK, Uniform
from molbuffer.storage.records import Build, Commit, Consumed, Event, Reward, RowId, RunKind, ScoreStatus
from molbuffer.storage.segments.segment import read_segment

OBJECTIVE = "objective-1"
TRAINABLE = [0, 3, 4, 5]  # Of the six rows of a build by ``make``, with rewards 0, 0.3, 0.4 and 0.5.


@pytest.fixture
def cache(started: SampleStore, tmp_path: Path) -> DecodedCache:
    return DecodedCache(started.uuid, started.path / "arrays", folder=tmp_path / "cache")


def all_of(index: HistoryIndex) -> NDArray[np.int64]:
    return np.arange(len(index))


def order_of(index: HistoryIndex) -> list[tuple[object, ...]]:
    """What rows are ordered by, of each row."""
    builds = index.builds.to_pylist()
    names = ("run_id", "iteration", "event", "sampler", "chunk")
    return [
        (*(builds[build][name] for name in names), row)
        for build, row in zip(index.build_numbers.tolist(), index.row_numbers.tolist(), strict=True)
    ]


def test_kept_rows_with_a_reward_are_there(started: SampleStore, make: ModuleType, cache: DecodedCache) -> None:
    builds = [make.make_build(i, seed=i, policy_sha256=f"policy-{i}") for i in range(2)]
    started.commit(Commit(builds))
    index = started.index(IndexScope(objective_sha256=OBJECTIVE, run_id="run-1"), cache=cache)
    assert index.row_ids(all_of(index)) == [RowId(build.build_id, row) for build in builds for row in TRAINABLE]
    assert index.rewards.tolist() == [0, 0.3, 0.4, 0.5] * 2
    assert index.iterations.tolist() == [0] * 4 + [1] * 4
    assert index.own.all()
    assert index.snapshot == started.snapshot()
    assert index.policy_sha256s == ("policy-0", "policy-1")
    assert index.builds["temperature"].to_pylist() == [0.9, 0.9]
    assert index.builds["top_p"].to_pylist() == [0.95, 0.95]
    assert index.vocabularies == ("vocabulary-1",)
    first, last = builds[0].samples.smiles[0], builds[1].samples.smiles[5]
    assert index.smiles(np.array([7, 0, 7])) == [last, first, last]
    assert index.raw(np.array([1])) == [builds[0].samples.raw[3]]


def test_gather_equals_the_segments(started: SampleStore, make: ModuleType, cache: DecodedCache) -> None:
    wide = make.make_build(3, samples=make.make_samples(width=40, vocabulary="vocabulary-2"))
    latent = make.make_build(2, samples=make.make_samples(latents=np.ones((6, 4), np.float32)))
    for commit in ([make.make_build(0), make.make_build(1, seed=5)], [latent], [wide]):
        started.commit(Commit(commit))
    index = started.index(IndexScope(objective_sha256=OBJECTIVE, run_id="run-1"), cache=cache)
    positions = np.random.default_rng(0).permutation(len(index))
    rows = index.gather(positions)
    assert rows.tokens.shape == rows.log_probs.shape == (16, 40)
    for at, row_id in enumerate(index.row_ids(positions)):
        build = started.build(row_id.build_id)
        segment = read_segment(started.path / "arrays" / build.segment, build.offset + row_id.row, 1)
        width = segment.tokens.shape[1]
        assert np.array_equal(rows.tokens[at, :width], segment.tokens[0])
        assert not rows.tokens[at, width:].any()
        assert np.array_equal(rows.log_probs[at, :width], segment.log_probs[0])
        assert rows.lengths[at] == segment.lengths[0]
        assert index.vocabularies[index.vocabulary_numbers(positions)[at]] == segment.vocabulary_sha256
        assert rows.rewards[at] == row_id.row / 10
        latents = [1.0] * 4 if segment.latents is not None else [np.nan] * 4
        assert np.array_equal(rows.latents[at], latents, equal_nan=True)
    narrow = index.gather(index.positions_of(make.make_build(0).build_id, [0]))
    assert narrow.tokens.shape == (1, 10)
    assert len(index.gather(np.zeros(0, np.int64))) == 0


def test_an_empty_store_has_an_empty_index(started: SampleStore, cache: DecodedCache) -> None:
    index = started.index(IndexScope(objective_sha256=OBJECTIVE, run_id="run-1"), cache=cache)
    assert len(index) == 0
    assert len(index.gather(all_of(index))) == 0
    assert index.smiles(all_of(index)) == []
    assert len(index.positions_of("unknown", [1, 2])) == 0
    assert len(index.best_of_each_molecule) == 0


def test_r7_order_is_that_of_the_configuration_whatever_the_order_of_commits(
    started: SampleStore, make: ModuleType, cache: DecodedCache
) -> None:
    builds: list[Build] = [
        make.make_build(iteration, event=event, sampler=sampler, sampler_order=order, chunk=chunk)
        for iteration in (2, 10)
        for event in (Event.BUILD_BUFFER, Event.SAMPLE_BATCH)
        # By name they would stand the other way round.
        for order, sampler in enumerate(("zinc", "agent"))
        for chunk in (0, 1)
    ]
    rng = np.random.default_rng(4)
    for some in np.array_split(rng.permutation(len(builds)), 5):
        started.commit(Commit([builds[at] for at in some]))
    index = started.index(IndexScope(objective_sha256=OBJECTIVE, run_id="run-1"), cache=cache)
    expected = [("run-1", b.iteration, b.event, b.sampler, b.chunk, row) for b in builds for row in TRAINABLE]
    assert order_of(index) == expected
    assert index.live.tolist() == [event == "sample_batch" for _, _, event, *_ in expected]


def test_r7_own_rows_come_first_and_then_runs_by_their_start(
    started: SampleStore, make: ModuleType, cache: DecodedCache
) -> None:
    for run_id in ("run-c", "run-b"):
        started.start_run(make.make_run(run_id))
    for run_id in ("run-b", "run-1", "run-c"):
        started.commit(Commit([make.make_build(0, run_id=run_id)]))

    def runs(run_id: str | None) -> list[object]:
        index = started.index(IndexScope(objective_sha256=OBJECTIVE, run_id=run_id), cache=cache)
        assert index.own.tolist() == [run_id is None or key[0] == run_id for key in order_of(index)]
        return list(dict.fromkeys(key[0] for key in order_of(index)))

    assert runs("run-b") == ["run-b", "run-1", "run-c"]
    assert runs(None) == ["run-1", "run-c", "run-b"]


def test_r16_own_rows_move_with_the_run_and_foreign_ones_stay(
    started: SampleStore, make: ModuleType, cache: DecodedCache
) -> None:
    started.start_run(make.make_run("other"))
    started.commit(Commit([make.make_build(0, run_id="other")]))
    pinned = started.snapshot()
    started.commit(Commit([make.make_build(0, run_id="run-1")]))
    started.commit(Commit([make.make_build(1, run_id="other")]))
    middle = started.snapshot()
    started.commit(Commit([make.make_build(i, run_id="run-1") for i in (1, 2)]))

    def seen(**view: object) -> list[tuple[object, object]]:
        index = started.index(IndexScope(objective_sha256=OBJECTIVE, **view), cache=cache)
        return list(dict.fromkeys((key[0], key[1]) for key in order_of(index)))

    own, other = "run-1", "other"
    every = [(own, 0), (own, 1), (own, 2), (other, 0), (other, 1)]
    assert seen(run_id=own) == every
    assert seen(run_id=own, foreign_snapshot=pinned) == every[:4]
    assert seen(run_id=own, snapshot=middle, foreign_snapshot=pinned) == [(own, 0), (other, 0)]
    assert seen(run_id=own, foreign_snapshot=pinned, up_to_iteration=1) == [(own, 0), (own, 1), (other, 0)]
    assert seen(run_id=own, own_only=True) == every[:3]
    assert seen(snapshot=pinned) == [(other, 0)]
    assert seen(snapshot=middle, up_to_iteration=0) == [(own, 0), (other, 0)]
    assert seen(run_id="new", foreign_snapshot=pinned) == [(other, 0)]


def test_rows_of_the_actors_of_a_run_are_its_own_and_those_of_other_agents_are_not(
    started: SampleStore, make: ModuleType, cache: DecodedCache
) -> None:
    for run_id, kind, parent in (
        ("other", RunKind.TRAIN, None),
        ("actor-b", RunKind.BUILD, "run-1"),
        ("actor-a", RunKind.BUILD, "run-1"),
        ("of-other", RunKind.BUILD, "other"),
        ("agent", RunKind.TRAIN, "run-1"),
    ):
        started.start_run(make.make_run(run_id, kind=kind, parent_run_id=parent))
        started.commit(Commit([make.make_build(0, run_id=run_id)]))
    pinned = started.snapshot()
    started.commit(Commit([make.make_build(1, run_id=run_id) for run_id in ("actor-a", "run-1", "other", "of-other")]))

    def seen(**view: object) -> list[tuple[object, object, bool]]:
        index = started.index(IndexScope(objective_sha256=OBJECTIVE, run_id="run-1", **view), cache=cache)
        own = index.own.tolist()
        return list(dict.fromkeys((*key[:2], mine) for key, mine in zip(order_of(index), own, strict=True)))

    family = [("run-1", 1, True), ("actor-b", 0, True), ("actor-a", 0, True), ("actor-a", 1, True)]
    foreign = [("other", 0, False), ("of-other", 0, False), ("agent", 0, False)]
    assert seen(with_actors=True, own_only=True) == family
    assert seen(with_actors=True, foreign_snapshot=pinned) == [*family, *foreign]
    assert seen(with_actors=True, snapshot=pinned, up_to_iteration=0) == [*family[1:3], *foreign]
    assert seen(own_only=True) == family[:1]
    assert started.run("actor-a").parent_run_id == "run-1"


def test_foreign_views_without_a_run_are_refused(started: SampleStore, cache: DecodedCache) -> None:
    for view in ({"own_only": True}, {"foreign_snapshot": 1}, {"with_actors": True}):
        with pytest.raises(ValueError, match="run_id"):
            started.index(IndexScope(objective_sha256=OBJECTIVE, **view), cache=cache)


def test_relabelled_rewards_count_under_their_objective(
    started: SampleStore, make: ModuleType, cache: DecodedCache
) -> None:
    build = make.make_build(0)
    started.commit(Commit([build]))
    before = started.snapshot()
    failed = Reward(0, "objective-2", None, ScoreStatus.FAILED)
    pending = Reward(4, "objective-2", None, ScoreStatus.PENDING)
    started.add_rewards(build.build_id, [failed, Reward(3, "objective-2", 0.9), pending], "run-1")

    def rewards(objective: str, snapshot: int | None = None) -> dict[int, float]:
        index = started.index(IndexScope(objective_sha256=objective, snapshot=snapshot), cache=cache)
        return dict(zip(index.row_numbers.tolist(), index.rewards.tolist(), strict=True))

    assert rewards("objective-2") == {3: 0.9}
    assert rewards("objective-2", before) == {}
    assert rewards(OBJECTIVE) == {0: 0, 3: 0.3, 4: 0.4, 5: 0.5}
    started.add_rewards(build.build_id, [Reward(4, "objective-2", 0.1), Reward(0, "objective-2", 0.2)], "run-1")
    assert rewards("objective-2") == {0: 0.2, 3: 0.9, 4: 0.1}


def test_of_several_good_rewards_the_newest_counts(started: SampleStore, make: ModuleType, cache: DecodedCache) -> None:
    """The store writes one, but an archive that was merged by hand may hold more."""
    build = make.make_build(0)
    started.commit(Commit([build]))
    with started._catalog.transaction("test", "by hand", {}) as transaction:
        for age, value in ((1, 0.7), (-1, 0.8), (0, 0.9)):
            transaction.change(
                'INSERT INTO {rewards} SELECT build_id, "row", objective_sha256, '
                f'{value}, status, run_id, created - INTERVAL ({age}) HOUR FROM {{rewards}} WHERE "row" = 3 LIMIT 1'
            )
    index = started.index(IndexScope(objective_sha256=OBJECTIVE), cache=cache)
    assert index.rewards.tolist() == [0, 0.8, 0.4, 0.5]


@pytest.mark.parametrize("view", [{}, {"include_unparseable": True}, {"where": "reward > 0.35"}, {"own_only": True}])
def test_an_index_read_row_by_row_is_the_one_read_at_once(
    started: SampleStore,
    make: ModuleType,
    cache: DecodedCache,
    monkeypatch: pytest.MonkeyPatch,
    view: dict[str, object],
) -> None:
    started.start_run(make.make_run("other"))
    builds = [make.make_build(i, seed=i, run_id=run_id) for i in range(3) for run_id in ("run-1", "other")]
    for at in (4, 1, 0, 5, 3, 2):
        started.commit(Commit([builds[at]]))
    with started._catalog.transaction("test", "by hand", {}) as transaction:
        for age, value in ((1, 0.7), (-1, 0.8)):
            transaction.change(
                'INSERT INTO {rewards} SELECT build_id, "row", objective_sha256, '
                f"{value}, status, run_id, created - INTERVAL ({age}) HOUR FROM {{rewards}} WHERE value = 0.4"
            )

    def read() -> HistoryIndex:
        return started.index(IndexScope(objective_sha256=OBJECTIVE, run_id="run-1", **view), cache=cache)

    whole = read()
    monkeypatch.setattr("molbuffer.storage.catalog.readable.BATCH_ROWS", 1)
    assert [batch.num_rows for batch in started.read_batches('SELECT "row" FROM {samples}')] == [1] * 36
    pieces = read()
    assert len(pieces) == len(whole) >= 6
    assert 0.8 in whole.rewards and not {0.4, 0.7} & set(whole.rewards)
    for column in ("build_numbers", "row_numbers", "rewards", "molecules", "own"):
        assert getattr(pieces, column).dtype == getattr(whole, column).dtype
        assert np.array_equal(getattr(pieces, column), getattr(whole, column))
    assert pieces.builds == whole.builds
    assert np.array_equal(pieces.arrays.located.positions, whole.arrays.located.positions)


def test_unparseable_rows_have_reward_zero_when_asked_for(
    started: SampleStore, make: ModuleType, cache: DecodedCache
) -> None:
    started.commit(Commit([make.make_build(0)]))
    index = started.index(IndexScope(objective_sha256=OBJECTIVE, include_unparseable=True), cache=cache)
    assert index.row_numbers.tolist() == [0, 1, 3, 4, 5]
    assert index.rewards.tolist() == [0, 0, 0.3, 0.4, 0.5]
    assert index.smiles(np.array([1])) == [None]


def test_a_predicate_narrows_the_rows_of_every_run(started: SampleStore, make: ModuleType, cache: DecodedCache) -> None:
    started.start_run(make.make_run("other"))
    for run_id in ("run-1", "other"):
        started.commit(Commit([make.make_build(0, run_id=run_id)]))

    def rows(where: str) -> list[int]:
        index = started.index(IndexScope(objective_sha256=OBJECTIVE, run_id="run-1", where=where), cache=cache)
        return index.row_numbers.tolist()

    assert rows("reward > 0.35") == [4, 5, 4, 5]
    assert rows("run_id = 'other' OR \"row\" = 0 OR NOT kept") == [0, *TRAINABLE]
    with pytest.raises(PredicateError):
        rows("no_such_column = 1")


def test_equal_molecules_are_known_and_the_best_row_of_each_is_found(
    started: SampleStore, make: ModuleType, cache: DecodedCache
) -> None:
    better = [Reward(row, OBJECTIVE, value) for row, value in ((0, 0.3), (3, 0.3), (4, 0.9), (5, 0.0))]
    started.commit(Commit([make.make_build(0), make.make_build(1, rewards=better)]))
    index = started.index(IndexScope(objective_sha256=OBJECTIVE), cache=cache)
    assert index.molecules[:4].tolist() == index.molecules[4:].tolist()
    assert len(set(index.molecules.tolist())) == 4
    # Rewards: 0, .3, .4, .5 and .3, .3, .9, 0: of equal ones the earlier is the better.
    assert index.best_first.tolist() == [6, 3, 2, 1, 4, 5, 0, 7]
    assert index.best_of_each_molecule.tolist() == [6, 3, 1, 4]


def test_positions_and_consumption_are_restored(started: SampleStore, make: ModuleType, cache: DecodedCache) -> None:
    first, second = make.make_build(0), make.make_build(1)
    started.commit(Commit([first, second]))
    index = started.index(IndexScope(objective_sha256=OBJECTIVE), cache=cache)
    assert index.positions_of(second.build_id, [5, 2, 0, 1, 99]).tolist() == [7, 4]
    assert index.positions_of(first.build_id, np.array([3])).tolist() == [1]
    assert index.positions_of("unknown", [0]).tolist() == []
    consumed = [
        Consumed(first.build_id, (0, 3), 0),
        Consumed(second.build_id, (5,), 1),
        Consumed(first.build_id, (3,), 2),
    ]
    assert index.times_consumed(consumed).tolist() == [1, 2, 0, 0, 0, 0, 0, 1]


def test_rows_can_be_left_out(started: SampleStore, make: ModuleType, cache: DecodedCache) -> None:
    builds = [make.make_build(0), make.make_build(1, seed=3)]
    started.commit(Commit(builds))
    index = started.index(IndexScope(objective_sha256=OBJECTIVE), cache=cache)
    less = index.without(np.array([0, 6]))
    kept = np.array([1, 2, 3, 4, 5, 7])
    assert less.row_ids(all_of(less)) == index.row_ids(kept)
    assert less.smiles(all_of(less)) == index.smiles(kept)
    assert np.array_equal(less.gather(all_of(less)).tokens, index.gather(kept).tokens)
    assert less.positions_of(builds[1].build_id, [0, 4, 5]).tolist() == [3, 5]


def test_pinning_again_decodes_only_new_segments(
    started: SampleStore, make: ModuleType, cache: DecodedCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []
    monkeypatch.setattr(
        "molbuffer.storage.history.cache.read_segment", lambda path: decoded.append(path.name) or read_segment(path)
    )
    for iteration in range(3):
        started.commit(Commit([make.make_build(iteration)]))
        started.index(IndexScope(objective_sha256=OBJECTIVE), cache=cache)
        assert len(decoded) == iteration + 1
    assert len(set(decoded)) == 3


def test_a_missing_segment_is_named(started: SampleStore, make: ModuleType, cache: DecodedCache) -> None:
    build = make.make_build(0)
    started.commit(Commit([build]))
    segment = started.build(build.build_id).segment
    shutil.rmtree(started.path / "arrays" / segment)
    with pytest.raises(ArraysError, match=segment):
        started.index(IndexScope(objective_sha256=OBJECTIVE), cache=cache)


def test_a_segment_of_another_vocabulary_is_refused(
    started: SampleStore, make: ModuleType, cache: DecodedCache
) -> None:
    builds = [make.make_build(i, samples=make.make_samples(vocabulary=f"vocabulary-{i}")) for i in range(2)]
    folders = []
    for build in builds:
        started.commit(Commit([build]))
        folders.append(started.path / "arrays" / started.build(build.build_id).segment)
    shutil.rmtree(folders[0])
    shutil.copytree(folders[1], folders[0])
    header = folders[0] / "zarr.json"
    header.write_text(header.read_text().replace(folders[1].name, folders[0].name))
    with pytest.raises(ArraysError, match=folders[0].name):
        started.index(IndexScope(objective_sha256=OBJECTIVE), cache=cache)


def test_every_selection_draws_from_an_index(started: SampleStore, make: ModuleType, cache: DecodedCache) -> None:
    started.commit(Commit([make.make_build(0), make.make_build(1, seed=1)]))
    index = started.index(IndexScope(objective_sha256=OBJECTIVE, run_id="run-1"), cache=cache)
    fresh = np.zeros(len(index), np.int32)
    for kind in (ConsumeOnce, Uniform, TopK, Prioritized, Recent):
        positions = kind().draw(index, 5, np.random.default_rng(3), fresh)
        assert len(index.gather(positions)) == 5


def test_a_read_only_store_is_indexed_too(started: SampleStore, make: ModuleType, cache: DecodedCache) -> None:
    started.commit(Commit([make.make_build(0)]))
    with SampleStore.open(started.path, read_only=True) as reader:
        assert len(reader.index(IndexScope(objective_sha256=OBJECTIVE), cache=cache)) == 4


def test_rows_of_an_index_that_fulfil_a_condition(started: SampleStore, make: ModuleType, cache: DecodedCache) -> None:
    started.start_run(make.make_run("run-2"))
    own, foreign = make.make_build(0), make.make_build(0, seed=1, run_id="run-2")
    started.commit(Commit([own, foreign]))
    pinned = started.snapshot()
    started.commit(Commit([make.make_build(4, seed=7, run_id="run-2"), make.make_build(4, seed=8)]))
    scope = IndexScope(objective_sha256=OBJECTIVE, run_id="run-1", foreign_snapshot=pinned)
    index = started.index(scope, cache=cache)
    assert len(index) == 12 and index.iteration == 5
    assert index.matching("reward > 0.35").tolist() == [False, False, True, True] * 3
    assert index.matching("run_id = 'run-2' AND reward > 0.35").tolist() == [False] * 10 + [True] * 2
    assert index.matching("iteration = 4").tolist() == [False] * 4 + [True] * 4 + [False] * 4
    with pytest.raises(PredicateError):
        index.matching("reward > (SELECT 1)")
    assert np.array_equal(index.hashes_of(index.smiles(all_of(index))), index.molecules)
    few = index.without(np.arange(10))
    assert few.matching("reward > 0.35").tolist() == [True, True]
    nobody = started.index(IndexScope(objective_sha256=OBJECTIVE, run_id="run-9", own_only=True), cache=cache)
    assert (len(nobody), nobody.iteration) == (0, 0)
