"""An index brought forward is the one read anew, whatever was committed, rewarded, merged or maintained since."""

import os
import random
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

import molbuffer.storage.history.forward as forward
from molbuffer.storage import DecodedCache, HistoryIndex, IndexScope, SampleStore
from molbuffer.storage.history.known_indexes import KnownIndexes
from molbuffer.storage.records import Commit, Event, Reward, ScoreStatus

OBJECTIVE = "objective-1"
ANOTHER = "objective-2"
SEEDS = int(os.environ.get("MOLBUFFER_TEST_SEEDS", "2"))
WHERE = "reward > 0.25 AND iteration < 6"
MATCHING = "reward_status = 'ok' AND run_name = 'test' AND \"row\" % 2 = 0"


def cache_of(store: SampleStore, folder: Path) -> DecodedCache:
    return DecodedCache(store.uuid, store.path / "arrays", folder=folder)


def anew(store: SampleStore, scope: IndexScope, cache: DecodedCache) -> HistoryIndex:
    return HistoryIndex.load(store._open, scope, cache)


def assert_equal(found: HistoryIndex, expected: HistoryIndex, *, matching: bool = True) -> None:
    """All that an index says, but not how it was read."""
    assert found.parts == expected.parts
    assert found.builds.to_pylist() == expected.builds.to_pylist()
    for column in ("build_numbers", "row_numbers", "rewards", "molecules", "own"):
        left, right = getattr(found, column), getattr(expected, column)
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right, err_msg=column)
    np.testing.assert_array_equal(found.best_first, expected.best_first)
    np.testing.assert_array_equal(found.best_of_each_molecule, expected.best_of_each_molecule)
    if matching:
        np.testing.assert_array_equal(found.matching(MATCHING), expected.matching(MATCHING))
    assert found.arrays.optional == expected.arrays.optional
    assert sorted(found.arrays.segments) == sorted(expected.arrays.segments)
    everything = np.arange(len(expected))
    assert found.smiles(everything) == expected.smiles(everything)
    if len(expected):
        left, right = found.gather(everything), expected.gather(everything)
        for column in ("tokens", "lengths", "log_probs", "latents", "source_tokens", "rewards"):
            np.testing.assert_array_equal(getattr(left, column), getattr(right, column), err_msg=column)


class Campaigns:
    """What happens to a store, by the numbers of a generator."""

    def __init__(self, store: SampleStore, archives: list[Path], make, seed: int) -> None:
        self.store, self.make, self.archives = store, make, archives
        self.rng = random.Random(seed)
        self.builds: list[str] = []
        self.next = {"run-0": 0, "run-1": 0, "run-2": 0}
        for run_id in self.next:
            store.start_run(make.make_run(run_id))

    def commit(self) -> None:
        run_id = self.rng.choice(sorted(self.next))
        # Not always the next iteration: chunks of an earlier one may come late.
        iteration = max(0, self.next[run_id] - self.rng.randrange(3))
        self.next[run_id] += 1
        pairs = self.rng.random() < 0.2
        seed = self.rng.randrange(5)
        samples = self.make.make_pairs(seed=seed) if pairs else self.make.make_samples(seed=seed)
        rewards = [Reward(row, OBJECTIVE, self.rng.random()) for row in range(6) if self.rng.random() < 0.6]
        pending = [row for row in range(6) if row not in {each.row for each in rewards}]
        rewards += [Reward(row, OBJECTIVE, None, ScoreStatus.PENDING) for row in pending[:2]]
        build = self.make.make_build(
            iteration,
            samples=samples,
            rewards=rewards,
            run_id=run_id,
            chunk=self.next[run_id],
            event=self.rng.choice([Event.BUILD_BUFFER, Event.SAMPLE_BATCH]),
        )
        self.store.commit(Commit([build]))
        self.builds.append(build.build_id)

    def complete(self) -> None:
        """Rewards that were pending come, of builds long ago too."""
        self._reward(OBJECTIVE)

    def relabel(self) -> None:
        self._reward(ANOTHER)

    def _reward(self, objective: str) -> None:
        for build_id in self.rng.sample(self.builds, min(2, len(self.builds))):
            rows = self.rng.sample(range(6), 3)
            self.store.add_rewards(build_id, [Reward(row, objective, self.rng.random()) for row in rows], "run-1")

    def compact(self) -> None:
        self.store.maintenance.compact()

    def expire(self) -> None:
        self.store.maintenance.expire(timedelta(0), keep=self.rng.choice([1, 3]))

    def vacuum(self) -> None:
        self.store.maintenance.vacuum(grace=timedelta(0))

    def merge(self) -> None:
        """Another store's run comes, by halves: its builds get rows later."""
        if self.archives:
            with closing(SampleStore.open(self.archives.pop())) as archive:
                self.store.merge(archive)

    def quarantine(self) -> None:
        placed = self.store.read_arrow("SELECT segment FROM {placed_builds} AS builds ORDER BY ALL")["segment"]
        if self.rng.random() < 0.2 and len(placed):
            self.store.quarantine({placed[0].as_py(): "of a test"})

    def anything(self) -> None:
        often = [self.commit, self.commit, self.commit, self.complete]
        seldom = [self.relabel, self.compact, self.expire, self.vacuum, self.merge, self.quarantine]
        self.rng.choice([*often, *often, *seldom])()


@pytest.fixture(scope="module")
def halves(tmp_path_factory, make) -> list[Path]:
    """Archives of the even and the odd rows of one run."""
    folder = tmp_path_factory.mktemp("halves")
    with SampleStore.create(folder / "source") as source:
        source.start_run(make.make_run("run-9"))
        for iteration in range(2):
            source.commit(Commit([make.make_build(iteration, run_id="run-9", seed=3)]))
        for number in range(2):
            source.archive(folder / f"rows-{number}", where=f'"row" % 2 = {number}')
    return [folder / "rows-0", folder / "rows-1"]


@pytest.mark.parametrize("seed", range(SEEDS))
def test_r16_an_index_brought_forward_is_the_one_read_anew(
    open_copy, empty_store, halves, make, seed, tmp_path, monkeypatch
):
    store = open_copy(empty_store)
    happens = Campaigns(store, list(halves), make, seed)
    cache = cache_of(store, tmp_path / "cache")
    known = KnownIndexes(store._open)
    for _ in range(3):
        happens.commit()
    pinned = store.snapshot()
    views = {
        "all": {},
        "own and others": {"run_id": "run-1"},
        "others stay": {"run_id": "run-1", "foreign_snapshot": pinned},
        "some": {"run_id": "run-1", "own_only": True, "where": WHERE},
        "chosen runs": {
            "runs": ["run-1", "run-2", "run-9"],
            "include_unparseable": True,
            "where": "kept OR reward > 0",
        },
        "up to": {"run_id": "run-2", "up_to_iteration": 0},
        "relabelled": {"objective_sha256": ANOTHER, "run_id": "run-0"},
    }
    held: dict[str, HistoryIndex] = {}
    forwarded = []
    monkeypatch.setattr(forward, "read_rows", lambda *given: forwarded.append(given) or read_rows(*given))
    for _ in range(12):
        happens.anything()
        for name in happens.rng.sample(sorted(views), 1):
            view = views[name]
            if name == "up to":
                view["up_to_iteration"] += happens.rng.randrange(2)
            if name == "others stay" and not store._open.catalog.has_version(pinned):
                continue
            scope = IndexScope(**{"objective_sha256": OBJECTIVE, "snapshot": store.snapshot()} | view)
            held[name] = known.load(scope, cache)
            # A query has a process and takes longer than all else.
            assert_equal(held[name], anew(store, scope, cache), matching=happens.rng.random() < 0.2)
            if happens.rng.random() < 0.3:
                # What is left out of an index that is used is not left out of the next one.
                held[name] = held[name].without(np.arange(min(2, len(held[name]))))
    assert forwarded, "no index was brought forward, and nothing was tested"


read_rows = forward.read_rows


def test_only_builds_that_changed_are_read(filled, make, tmp_path, monkeypatch):
    cache = cache_of(filled, tmp_path / "cache")
    scope = IndexScope(objective_sha256=OBJECTIVE, run_id="run-1")
    known = KnownIndexes(filled._open)
    first = known.load(scope, cache)
    assert known.load(scope, cache) is first, "nothing has changed"
    read = []
    monkeypatch.setattr(
        forward, "read_rows", lambda queries, wanted: read.append(queries) or read_rows(queries, wanted)
    )
    fresh = make.make_build(6, seed=6)
    filled.commit(Commit([fresh]))
    filled.add_rewards(make.make_build(2, seed=2).build_id, [Reward(2, OBJECTIVE, 0.9)], "run-1")
    second = known.load(scope, cache)
    assert [ids for (query,) in read for ids in query.numbered["build_id"].to_pylist()] == [
        make.make_build(2, seed=2).build_id,
        fresh.build_id,
    ]
    assert len(second) == len(first) + 4
    assert_equal(second, anew(filled, scope, cache))


def test_an_index_that_nobody_has_is_not_kept(filled, tmp_path):
    known = KnownIndexes(filled._open)
    scope = IndexScope(objective_sha256=OBJECTIVE)
    used = known.load(scope, cache_of(filled, tmp_path / "cache"))
    assert list(known._last.values()) == [used]
    del used
    assert not list(known._last.values())


def test_many_changes_are_read_in_one_go(filled, make, tmp_path, monkeypatch):
    monkeypatch.setattr(forward, "MOST_CHANGED", 1)
    cache, scope = cache_of(filled, tmp_path / "cache"), IndexScope(objective_sha256=OBJECTIVE)
    known = KnownIndexes(filled._open)
    first = known.load(scope, cache)
    for iteration in (6, 7):
        filled.commit(Commit([make.make_build(iteration, seed=iteration)]))
    monkeypatch.setattr(forward, "read_rows", lambda *given: pytest.fail("builds were read one by one"))
    assert_equal(known.load(scope, cache), anew(filled, scope, cache))
    assert len(first)
