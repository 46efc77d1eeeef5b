import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from molbuffer.storage.errors import (
    RunConflictError,
    StoreError,
    StoreModeError,
    UnknownBuildError,
    UnknownRunError,
    UnknownSnapshotError,
)
from molbuffer.storage.records import (
    Checkpoint,
    Commit,
    Consumed,
    Event,
    Metric,
    PolicyVersion,
    Reward,
    RowId,
    RunStatus,
    Score,
    ScoreStatus,
)


def count(store, table, snapshot=None):
    return store.read_arrow(f"SELECT count(*) AS n FROM {{{table}}}", snapshot=snapshot)["n"][0].as_py()


def test_a_build_reads_back_as_it_was_committed(started, make):
    latents = np.random.default_rng(3).random((6, 4)).astype(np.float32)
    sources = [None, RowId("b", 3), None, None, None, RowId("b", 5)]
    samples = make.make_samples(
        latents=latents, source_smiles=[None, "CN", "CO", None, None, "CF"], source_rows=sources
    )
    build = make.make_build(3, samples=samples, chunk=2, sampler_order=1, top_k=40, attempt_id="a", task_run_id="t")
    receipt = started.commit(Commit([build])).builds[0]

    stored = started.build(build.build_id)

    assert stored.receipt == receipt
    assert dataclasses.replace(stored.build, samples=samples, metrics=build.metrics) == build
    assert {metric.name: metric.value for metric in stored.build.metrics} == {"valid": 0.5, "diversity": None}
    for found, given in ((stored.samples, samples), (stored.samples.rows, samples.rows)):
        for name in {field.name for field in dataclasses.fields(given)} - {"rows"}:
            np.testing.assert_array_equal(getattr(found, name), getattr(given, name), name)
    assert stored.samples.rows.tokens.dtype == np.uint8
    assert stored.rewards == build.rewards


def test_a_receipt_counts_rows_and_averages_good_rewards(started, make):
    rewards = [
        Reward(0, make.OBJECTIVE, 0.5),
        Reward(3, make.OBJECTIVE, 0.25),
        Reward(4, make.OBJECTIVE, None, ScoreStatus.FAILED),
        Reward(5, "another objective", 100.0),
    ]
    commit = started.commit(Commit([make.make_build(rewards=rewards)]))
    receipt = commit.builds[0]
    assert (receipt.drawn, receipt.parseable, receipt.kept, receipt.mean_reward) == (6, 5, 4, 0.375)
    assert receipt.snapshot == commit.snapshot == started.snapshot()
    assert started.commit(Commit([make.make_build(1, rewards=())])).builds[0].mean_reward is None


def test_r2_r3_a_repeated_build_counts_once_and_gets_the_first_receipt(started, make):
    first = started.commit(Commit([make.make_build(seed=0)])).builds[0]
    again = started.commit(Commit([make.make_build(seed=1, attempt_id="second"), make.make_build(1)]))
    assert again.builds[0] == dataclasses.replace(first, repeated=True)
    assert not again.builds[1].repeated
    assert count(started, "samples") == 12
    assert count(started, "builds") == 2
    assert started.build(first.build_id).samples.smiles == make.make_samples(seed=0).smiles


def test_a_commit_of_nothing_new_makes_no_version(started, make):
    commit = Commit([make.make_build()], run_id="run-1", checkpoint=Checkpoint("run-1", 0, {"a": b"1"}))
    started.commit(commit)
    before = started.snapshot()
    assert started.commit(commit).snapshot == before == started.snapshot()


def test_r7_rows_and_receipts_stand_in_configuration_order(started, make):
    def build(iteration, event, order, chunk):
        return make.make_build(
            iteration, event=event, sampler=f"z{9 - order}", sampler_order=order, chunk=chunk, rewards=()
        )

    places = [(i, e, o, c) for i in (2, 10) for e in sorted(Event) for o in (0, 1) for c in (0, 1)]
    shuffled = [places[i] for i in np.random.default_rng(0).permutation(len(places))]
    started.commit(Commit([build(*place) for place in shuffled]))

    ordered = [make_id.build_id for make_id in (build(*place) for place in places)]
    assert [receipt.build_id for receipt in started.receipts("run-1")] == ordered
    scanned = started.read_arrow("SELECT build_id FROM {samples}")["build_id"].to_pylist()
    assert list(dict.fromkeys(scanned)) == ordered
    chosen = started.receipts("run-1", iteration=10, event=Event.SAMPLE_BATCH)
    assert [receipt.build_id for receipt in chosen] == ordered[-4:]


def test_builds_of_several_vocabularies_share_a_commit(started, make):
    wide = make.make_samples(4, width=20, vocabulary="vocabulary-2", seed=2)
    builds = [make.make_build(0), make.make_build(1, samples=wide, rewards=()), make.make_build(2, n=3, seed=3)]
    started.commit(Commit(builds))
    stored = [started.build(build.build_id) for build in builds]
    assert stored[0].segment == stored[2].segment != stored[1].segment
    assert [build.offset for build in stored] == [0, 0, 6]
    for got, build in zip(stored, builds, strict=True):
        assert got.samples.vocabulary_sha256 == build.samples.vocabulary_sha256
        np.testing.assert_array_equal(got.samples.rows.tokens, build.samples.rows.tokens)
        np.testing.assert_array_equal(got.samples.rows.log_probs, build.samples.rows.log_probs)


def test_runs_start_resume_and_finish(started, make):
    assert started.start_run(make.make_run()) is RunStatus.RESUMED
    assert started.start_run(make.make_run("run-2", libraries={"rdkit": "2026.9"}, user="u")) is RunStatus.STARTED
    assert count(started, "runs") == 2
    assert started.run("run-2") == make.make_run("run-2", libraries={"rdkit": "2026.9"}, user="u")
    with pytest.raises(RunConflictError, match="config_sha256"):
        started.start_run(make.make_run(config='{"sigma": 1}'))
    with pytest.raises(RunConflictError, match="objective_sha256"):
        started.start_run(make.make_run(objective_sha256="ef" * 32))
    started.finish_run("run-1", RunStatus.FAILED, "out of oracle calls")
    events = started.query("SELECT status FROM run_events WHERE run_id = 'run-1' ORDER BY created")["status"].to_list()
    assert events == ["started", "resumed", "failed"]


def test_a_run_is_found_by_a_unique_prefix(started, make):
    started.start_run(make.make_run("run-10"))
    assert started.run("run-10").run_id == "run-10"
    assert started.run("run-1").run_id == "run-1"
    for unknown in ("run", "x", ""):
        with pytest.raises(UnknownRunError):
            started.run(unknown)


def test_rows_of_an_unknown_run_are_refused(started, make):
    with pytest.raises(UnknownRunError, match="run-9"):
        started.commit(Commit([make.make_build(run_id="run-9")]))
    with pytest.raises(UnknownRunError):
        started.finish_run("run-9", RunStatus.FINISHED)
    with pytest.raises(UnknownBuildError):
        started.build("no such build")


def test_contradictory_commits_are_refused_before_anything_is_written(started, make):
    before = started.snapshot()
    wrong = [
        (Commit([make.make_build(), make.make_build()]), "twice"),
        (Commit([make.make_build(rewards=[Reward(6, "o", 1.0)])]), r"rewards for rows \[6\]"),
        (Commit([make.make_build(rewards=[Reward(0, "o", 1.0), Reward(0, "o", 2.0)])]), "two rewards"),
        (Commit(run_metrics=[(0, Metric("loss", 1.0))]), "run_id"),
        (Commit(checkpoint=Checkpoint("run-1", 0, {"../x": b""})), "plain names"),
    ]
    for commit, message in wrong:
        with pytest.raises(ValueError, match=message):
            started.commit(commit)
    assert started.snapshot() == before
    assert not any((started.path / "arrays").iterdir())


def test_consumed_rows_figures_and_checkpoint_of_an_iteration_count_once(started, make):
    build = make.make_build()

    def commit(iteration, rows, content, loss):
        started.commit(
            Commit(
                [build],
                run_id="run-1",
                consumed=[Consumed(build.build_id, rows, iteration)],
                run_metrics=[(iteration, Metric("loss", loss))],
                checkpoint=Checkpoint("run-1", iteration, {"state.json": content}, snapshot=iteration),
            )
        )

    assert started.latest_checkpoint("run-1") is None
    commit(0, [3, 0], b"first", 1.0)
    commit(0, [4], b"second", 2.0)
    commit(10, [5], b"later", 3.0)
    commit(9, [4], b"replayed", 4.0)

    assert started.consumed("run-1", up_to_iteration=9) == [
        Consumed(build.build_id, (0, 3), 0),
        Consumed(build.build_id, (4,), 9),
    ]
    assert [part.iteration for part in started.consumed("run-1")] == [0, 9, 10]
    latest = started.latest_checkpoint("run-1")
    assert (latest.iteration, latest.snapshot) == (10, 10)
    assert (latest.folder / "state.json").read_bytes() == b"later"
    kept = started.read_arrow("SELECT folder FROM {checkpoints} WHERE iteration = 0")["folder"].to_pylist()
    assert [(started.path / folder / "state.json").read_bytes() for folder in kept] == [b"first"]
    figures = started.query("SELECT iteration, value FROM metrics WHERE build_id IS NULL ORDER BY ALL").rows()
    assert figures == [(0, 1.0), (9, 4.0), (10, 3.0)]


def test_policies_are_recorded_once_and_again_when_their_weights_are_kept(started):
    versions = [
        PolicyVersion("a", "gru", weights_kept=True),
        PolicyVersion("b", "gru", "a", "run-1", 1),
        PolicyVersion("c", "gru", "b", "run-1", 2),
    ]
    started.commit(Commit(policies=versions))
    started.commit(Commit(policies=versions))
    started.commit(Commit(policies=[PolicyVersion("c", "gru", "b", "run-1", 2, weights_kept=True)]))
    lineage = started.query("SELECT sha256, kept_ancestor, updates_since_kept FROM lineage ORDER BY sha256").rows()
    assert lineage == [("a", "a", 0), ("b", "a", 1), ("c", "c", 0)]
    assert count(started, "policies") == 4


def test_r4_rewards_of_another_objective_are_added_and_good_ones_are_final(started, make):
    build = make.make_build(
        rewards=[Reward(0, make.OBJECTIVE, 0.5), Reward(3, make.OBJECTIVE, None, ScoreStatus.PENDING)]
    )
    started.commit(Commit([build]))

    def history():
        rows = started.query('SELECT "row", reward, reward_status FROM sample_history ORDER BY "row"').rows()
        return {row: (reward, status) for row, reward, status in rows}

    assert history()[3] == (None, "pending")
    added = started.add_rewards(
        build.build_id, [Reward(0, make.OBJECTIVE, 9.0), Reward(0, "new", 0.1), Reward(3, make.OBJECTIVE, 0.7)], "run-1"
    )
    assert added == 2
    assert history() == {
        0: (0.5, "ok"), 1: (None, None), 2: (None, None), 3: (0.7, "ok"), 4: (None, None), 5: (None, None)
    }  # fmt: skip
    assert [(reward.row, reward.value) for reward in started.build(build.build_id).rewards] == [(0, 0.5), (3, 0.7)]
    assert count(started, "rewards") == 4
    with pytest.raises(UnknownBuildError):
        started.add_rewards(build.build_id, [Reward(6, "new", 0.1)], "run-1")


def test_r4_an_old_version_stays_as_it_was(started, make):
    build = make.make_build()
    first = started.commit(Commit([build])).snapshot
    started.commit(Commit([make.make_build(1)]))
    started.add_rewards(build.build_id, [Reward(0, "new", 0.1)], "run-1")
    assert (count(started, "samples", first), count(started, "samples")) == (6, 12)
    assert (count(started, "sample_history", first), count(started, "sample_history")) == (6, 12)
    assert started.query("SELECT count(*) FROM rewards", snapshot=first).item() == 4
    for read in (started.read_arrow, started.query):
        with pytest.raises(UnknownSnapshotError, match="999"):
            read("SELECT 1 AS one FROM {runs}" if read == started.read_arrow else "SELECT 1", snapshot=999)


def test_a_result_in_portions_fails_as_a_whole_one_does(started, make):
    started.commit(Commit([make.make_build()]))
    assert sum(batch.num_rows for batch in started.read_batches("SELECT build_id FROM {samples}")) == 6
    with pytest.raises(UnknownSnapshotError, match="999"):
        list(started.read_batches("SELECT build_id FROM {samples}", snapshot=999))
    late = """SELECT CASE WHEN number = 500000 THEN error('late') ELSE number END AS number
        FROM range(1000000) AS numbers(number), {runs}"""
    portions = started.read_batches(late)
    assert next(portions).num_rows > 0
    with pytest.raises(StoreError, match="late"):
        list(portions)


def test_r25_a_value_that_is_no_number_is_never_ok(started, make):
    for value in (float("nan"), float("inf"), None):
        with pytest.raises(ValueError, match="ok"):
            Score("CC", "qed", "v1", value)
        with pytest.raises(ValueError, match="ok"):
            Reward(0, "o", value)
    build = make.make_build(rewards=[Reward(0, make.OBJECTIVE, None, ScoreStatus.FAILED)])
    started.commit(Commit([build]))
    (row,) = started.query("SELECT value, status FROM rewards").rows()
    assert row == (None, "failed")


def test_threads_read_while_others_commit(started, make):
    stop = threading.Event()
    seen = []

    def read():
        while not stop.is_set():
            rows = started.read_arrow("SELECT build_id, count(*) AS n FROM {samples} GROUP BY build_id")[
                "n"
            ].to_pylist()
            seen.append((len(rows), set(rows)))

    with ThreadPoolExecutor(4) as pool:
        reader = pool.submit(read)
        commits = [pool.submit(started.commit, Commit([make.make_build(i % 8)])) for i in range(16)]
        receipts = [commit.result().builds[0] for commit in commits]
        stop.set()
        reader.result()
    assert sum(not receipt.repeated for receipt in receipts) == 8
    assert count(started, "samples") == 48
    assert all(sizes <= {6} for _, sizes in seen)
    assert [n for n, _ in seen] == sorted(n for n, _ in seen)


def test_a_store_open_for_reading_reads_and_does_not_write(started, make):
    started.commit(Commit([make.make_build()]))
    with type(started).open(started.path, read_only=True) as reader:
        assert reader.read_only
        assert reader.uuid == started.uuid
        assert len(reader.query("FROM sample_history")) == 6
        for write in (
            lambda: reader.commit(Commit([make.make_build(1)])),
            lambda: reader.start_run(make.make_run()),
            lambda: reader.record_scores([Score("C", "qed", "1", 0.1)]),
            lambda: reader.policies.add({"a": b""}),
        ):
            with pytest.raises(StoreModeError, match="reading"):
                write()
        started.commit(Commit([make.make_build(1)]))
        assert len(reader.query("FROM sample_history")) == 12


def test_a_closed_store_says_so(started):
    started.close()
    started.close()
    with pytest.raises(StoreModeError, match="closed"):
        started.snapshot()
