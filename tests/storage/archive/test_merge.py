"""A merge adds what a store lacks, each row once: repeated, raced, killed, in parts; what contradicts it is refused."""

import re
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import molbuffer.storage.archive.merge
from molbuffer.storage import SampleStore
from molbuffer.storage.archive.merge import MergeReceipt
from molbuffer.storage.errors import MergeConflictError, RunConflictError, StoreModeError
from molbuffer.storage.history.index import IndexScope
from molbuffer.storage.records import Commit, Consumed, Metric, PolicyVersion, Reward, RunStatus, Score, ScoreStatus
from molbuffer.storage.verify.verify import verify_store

TABLES = ("runs", "run_events", "samples", "rewards", "scores", "metrics", "policies", "consumed")
NOTHING = {"runs": 0, "builds": 0, "rows": 0, "rewards": 0, "scores": 0, "policies": 0, "united": 0, "left_out": 0}


def fill(store: SampleStore, make) -> None:
    """A run of two builds with a policy, scores, a pending reward, figures, and a run that consumed rows of it."""
    store.start_run(make.make_run())
    store.start_run(make.make_run("run-2"))
    sha256 = store.policies.add({"config.json": b"{}"})
    policies = [PolicyVersion("root", "gru"), PolicyVersion(sha256, "gru", "root", "run-1", 0, weights_kept=True)]
    for iteration in range(2):
        scores = [Score(f"{'C' * n}{'O' * iteration}", "qed", "v1", n / 10) for n in (1, 4, 5, 6)]
        scores.append(Score(f"CCC{'O' * iteration}", "qed", "v1", None, ScoreStatus.FAILED, "timeout"))
        rewards = [Reward(row, make.OBJECTIVE, row / 10) for row in (0, 3, 4)]
        rewards.append(Reward(5, make.OBJECTIVE, None, ScoreStatus.PENDING))
        build = make.make_build(iteration, seed=iteration, policy_sha256=sha256, rewards=rewards, scores=scores)
        store.commit(Commit([build], policies=policies))
    consumed = [Consumed(make.make_build(0).build_id, [0, 4], 0)]
    store.commit(Commit(run_id="run-2", consumed=consumed))
    store.commit(Commit(run_id="run-1", run_metrics=[(0, Metric("loss", 1.5))]))
    store.finish_run("run-1", RunStatus.FINISHED)


@pytest.fixture(scope="module")
def archives(tmp_path_factory, make) -> Path:
    """A folder of archives of one store: all of it, its even and odd rows, and its first build."""
    folder = tmp_path_factory.mktemp("archives")
    with SampleStore.create(folder / "source") as store:
        fill(store, make)
        wheres = {"whole": None, "even": '"row" % 2 = 0', "odd": '"row" % 2 = 1', "first": "iteration = 0"}
        for name, where in wheres.items():
            store.archive(folder / name, where=where)
    return folder


@pytest.fixture(scope="module")
def source(archives):
    with SampleStore.open(archives / "source", read_only=True) as opened:
        yield opened


@pytest.fixture(scope="module")
def same_as_source(source, make) -> Callable[[SampleStore], None]:
    """A function that compares all of a store with all that the source of the archives has, which is read once."""
    rows, trained_on, builds = content(source), arrays(source, make), tokens(source)

    def compare(store: SampleStore) -> None:
        assert content(store) == rows
        ours = arrays(store, make)
        assert ours == trained_on
        assert len(ours[0]) == 6
        assert tokens(store) == builds
        assert store.policies.kept() == source.policies.kept()

    return compare


def merged(store: SampleStore, archive: Path) -> MergeReceipt:
    # That only a trusted archive gets this far is what test_hostile_archive.py is about.
    with SampleStore.open(archive) as opened:
        return store.merge(opened)


def added(receipt: MergeReceipt) -> dict[str, int]:
    return {name: getattr(receipt, name) for name in NOTHING}


def content(store: SampleStore) -> dict[str, list[dict]]:
    """The rows of all tables, but for where arrays are."""
    found = {table: store.read_arrow(f"SELECT * FROM {{{table}}} ORDER BY ALL").to_pylist() for table in TABLES}
    builds = "SELECT * EXCLUDE (segment, segment_offset) FROM {builds} ORDER BY ALL"
    return found | {"builds": store.read_arrow(builds).to_pylist()}


def arrays(store: SampleStore, make) -> tuple[list, ...]:
    """What training reads: each row with its tokens, log-probs and reward."""
    index = store.index(IndexScope(objective_sha256=make.OBJECTIVE))
    every = np.arange(len(index))
    batch = index.gather(every)
    return index.row_ids(every), batch.tokens.tolist(), batch.log_probs.tolist(), batch.rewards.tolist()


def tokens(store: SampleStore) -> dict[str, list]:
    """Those of the builds of run-1, by build id."""
    ids = [receipt.build_id for receipt in store.receipts("run-1")]
    return {build_id: store.build(build_id).samples.rows.tokens.tolist() for build_id in ids}


def test_an_empty_store_has_all_of_it_afterwards_and_nothing_more_when_repeated(store, archives, same_as_source):
    receipt = merged(store, archives / "whole")
    assert added(receipt) == NOTHING | {"runs": 2, "builds": 2, "rows": 12, "rewards": 8, "scores": 10, "policies": 2}
    same_as_source(store)
    version, files = store.snapshot(), sorted(store.path.rglob("*"))
    assert added(merged(store, archives / "whole")) == NOTHING
    assert verify_store(store.path).errors == ()
    assert (store.snapshot(), sorted(store.path.rglob("*"))) == (version, files)


@pytest.mark.parametrize("order", [("first", "odd", "even"), ("odd", "whole")])
def test_parts_of_builds_are_united_in_any_order(store, archives, same_as_source, order):
    for name in order:
        merged(store, archives / name)
    same_as_source(store)
    for name in ("even", "whole"):
        assert added(merged(store, archives / name)) == NOTHING
    assert verify_store(store.path).errors == ()


def test_a_store_that_made_the_builds_itself_learns_only_what_it_lacks(store, archives, source, make):
    store.start_run(make.make_run())
    store.commit(Commit([make.make_build(1, seed=1, policy_sha256=source.policies.kept()[0], rewards=[], scores=[])]))
    receipt = merged(store, archives / "whole")
    assert (receipt.runs, receipt.builds, receipt.rows, receipt.united) == (1, 1, 6, 0)
    # The rewards of the build that was there without are known now, too.
    assert receipt.rewards == 8
    assert arrays(store, make) == arrays(source, make)
    assert store.query("SELECT count(*) AS n FROM sample_history")["n"][0] == 12


def test_a_reward_and_a_score_that_are_known_stay_and_are_not_doubled(store, archives, make, source):
    store.start_run(make.make_run())
    mine = [Reward(0, make.OBJECTIVE, 0.9), Reward(5, make.OBJECTIVE, 0.8)]
    known = [Score("C", "qed", "v1", 0.7), Score("CCC", "qed", "v1", None, ScoreStatus.FAILED, "mine")]
    sha256 = source.policies.kept()[0]
    store.commit(Commit([make.make_build(0, policy_sha256=sha256, rewards=mine, scores=known)]))
    receipt = merged(store, archives / "whole")
    history = store.query('SELECT "row", reward, reward_status FROM sample_history WHERE iteration = 0 ORDER BY "row"')
    rewards = dict(zip(history["row"], history["reward"], strict=True))
    assert (len(history), rewards[0], rewards[5], rewards[3]) == (6, 0.9, 0.8, 0.3)
    assert receipt.rewards == 7
    assert store.find_scores("qed", "v1", ["C", "CCCC"])["C"].value == 0.7
    assert store.find_scores("qed", "v1", ["CCCC"])["CCCC"].value == 0.4
    good = store.query("SELECT smiles, count(*) AS n FROM scores WHERE status = 'ok' GROUP BY ALL")
    assert set(good["n"]) == {1}
    assert verify_store(store.path).errors == ()


def test_a_good_score_of_a_molecule_that_failed_here_is_learned(store, archives, make):
    store.record_scores([Score("C", "qed", "v1", None, ScoreStatus.FAILED, "timeout")])
    merged(store, archives / "whole")
    assert store.find_scores("qed", "v1", ["C"])["C"].value == 0.1


def test_weights_that_come_with_an_archive_are_kept_and_the_parent_that_is_known_stays(store, archives, make, source):
    store.start_run(make.make_run("mine"))
    sha256 = source.policies.kept()[0]
    store.commit(Commit(policies=[PolicyVersion(sha256, "gru", "other-parent", "mine", 3)]))
    assert merged(store, archives / "whole").policies == 2
    found = store.query(
        "SELECT parent_sha256, weights_kept, run_id FROM lineage WHERE sha256 = '" + sha256 + "'"
    ).rows()
    assert found == [("other-parent", True, "run-1")] or found == [("other-parent", True, "mine")]
    assert store.policies.folder(sha256).is_dir()


# Quarantine


def damage(store: SampleStore, iteration: int) -> str:
    sql = """SELECT coalesce(moved.segment, builds.segment) AS segment FROM builds
        LEFT JOIN current_placements AS moved USING (build_id) WHERE iteration = """
    segment = str(store.query(sql + str(iteration))["segment"][0])
    chunk = store._open.layout.arrays / segment / "tokens" / "c.0.0"
    chunk.write_bytes(chunk.read_bytes()[:-1])
    store.quarantine(store.verify().damaged_segments)
    return segment


def test_a_quarantined_build_is_healed_by_an_archive_that_has_all_its_rows(store, archives, same_as_source, make):
    merged(store, archives / "first")
    segment = damage(store, 0)
    assert len(store.index(IndexScope(objective_sha256=make.OBJECTIVE))) == 0
    receipt = merged(store, archives / "whole")
    assert (receipt.rows, receipt.united, receipt.left_out) == (6, 1, 0)
    same_as_source(store)
    assert added(merged(store, archives / "whole")) == NOTHING
    # It is known as damaged, and nothing lies in it any more.
    assert store.query("SELECT segment FROM quarantine")["segment"].to_list() == [segment]


def test_a_quarantined_build_is_left_out_when_the_archive_has_a_part_of_it(store, archives, make):
    merged(store, archives / "even")
    damage(store, 0)
    before = content(store)
    receipt = merged(store, archives / "odd")
    # Both builds lie in one segment, as archives and merges write them.
    assert added(receipt) == NOTHING | {"left_out": 2, "scores": receipt.scores}
    assert content(store) | {"scores": 0} == before | {"scores": 0}
    assert merged(store, archives / "even").united == 2
    assert merged(store, archives / "odd").rows == 6
    assert len(store.index(IndexScope(objective_sha256=make.OBJECTIVE))) == 6


# Conflicts


CONFLICTS: dict[str, tuple[Callable, type[Exception], str]] = {
    "run of another seed": (lambda store, make: store.start_run(make.make_run(seed=8)), RunConflictError, "run run-1"),
    "build of another size": (
        lambda store, make: (
            store.start_run(make.make_run()),
            store.commit(Commit([make.make_build(0, n=7, policy_sha256=None)])),
        ),
        MergeConflictError,
        "build",
    ),
}


@pytest.mark.parametrize(("change", "error", "match"), CONFLICTS.values(), ids=CONFLICTS)
def test_an_archive_that_contradicts_the_store_is_refused_and_changes_nothing(
    store, archives, make, change, error, match
):
    change(store, make)
    before, version = content(store), store.snapshot()
    with pytest.raises(error, match=match):
        merged(store, archives / "whole")
    assert (content(store), store.snapshot()) == (before, version)
    assert store.policies.kept() == []


def test_a_row_that_is_another_molecule_is_refused(store, archives, make, source):
    store.start_run(make.make_run())
    samples = make.make_samples(seed=0, raw=[f"N{row}" for row in range(6)])
    store.commit(Commit([make.make_build(0, samples=samples, policy_sha256=source.policies.kept()[0])]))
    version = store.snapshot()
    with pytest.raises(MergeConflictError, match=r"row 0 of build [0-9a-f]{32} "):
        merged(store, archives / "whole")
    assert store.snapshot() == version


def test_a_policy_that_would_be_its_own_ancestor_is_refused(store, archives, make, source):
    store.start_run(make.make_run())
    store.commit(Commit(policies=[PolicyVersion("root", "gru", source.policies.kept()[0])]))
    with pytest.raises(MergeConflictError, match=f"policy (root|{source.policies.kept()[0]}) "):
        merged(store, archives / "whole")


def test_only_archives_are_merged_and_only_into_stores(store, archives, source):
    with pytest.raises(StoreModeError, match=re.escape(str(source.path))):
        store.merge(source)
    with (
        SampleStore.open(archives / "even") as other,
        pytest.raises(StoreModeError, match=re.escape(str(archives / "even"))),
    ):
        merged(other, archives / "whole")


# Other processes


@pytest.fixture
def process(process_of):
    """Starts a process that merges; see merging_process.py."""
    script = Path(__file__).parents[1] / "merging_process.py"
    return lambda store, archive, stop="": process_of(script, store, archive, stop)


def test_processes_that_race_add_each_row_once(store, archives, same_as_source, process):
    racers = [process(store.path, archives / name) for name in ("whole", "odd")]
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        racer.stdin.write("go\n")
    said = [racer.communicate(timeout=600) for racer in racers]
    # That one waits for the other for long is said, where the machine is slow.
    assert [racer.returncode for racer in racers] == [0, 0], said
    assert sum(int(rows) for rows, _ in said) == 12
    same_as_source(store)


def test_a_change_while_the_arrays_are_written_starts_the_merge_again(store, archives, same_as_source, monkeypatch):
    copy_arrays, calls = molbuffer.storage.archive.merge.copy_arrays, []

    def slow(*arguments):
        placed = copy_arrays(*arguments)
        calls.append(placed)
        if len(calls) == 1:
            merged(store, archives / "odd")
        return placed

    monkeypatch.setattr("molbuffer.storage.archive.merge.copy_arrays", slow)
    receipt = merged(store, archives / "whole")
    assert (receipt.rows, receipt.united) == (6, 2)
    assert len(calls) == 3
    same_as_source(store)


@pytest.mark.parametrize("stop", ["copy_arrays", "_insert", "transact"])
def test_a_merge_that_is_killed_is_all_or_nothing_and_can_be_repeated(store, archives, same_as_source, stop, process):
    merged(store, archives / "even")
    before = content(store)
    killed = process(store.path, archives / "whole", stop)
    assert killed.stdout.readline() == "ready\n"
    killed.stdin.write("go\n")
    killed.communicate(timeout=600)
    assert killed.returncode == -signal.SIGKILL
    if stop == "transact":
        same_as_source(store)
    else:
        assert content(store) == before
        assert verify_store(store.path).errors == ()
    merged(store, archives / "whole")
    same_as_source(store)
