"""A run of the benchmark keeps to its budget, goes on where it was cut off, and its store gives the table."""

import hashlib
import itertools
import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from molbuffer.flows.errors import UsageError
from molbuffer.flows.settings import load_settings
from molbuffer.flows.tools import (
    BenchRun,
    archive_runs,
    bench_table,
    check_bench_settings,
    in_order,
    results_of_folder,
    rewards_of_calls,
    run_all,
    run_one,
)
from molbuffer.flows.tools.pmo.runs import TimeIsUpError, is_done
from molbuffer.pages import area_under_best
from molbuffer.storage import (
    ArchiveLimits,
    Build,
    Commit,
    Event,
    Rows,
    Run,
    RunKind,
    RunStatus,
    Samples,
    SampleStore,
    trusted_archive,
)

BUDGET = 24
CONFIG = """
[campaign]
batch_size = 8
[policy]
prior = "{prior}"
[objective]
named = "pmo:qed"
[buffer]
build_every = 2
runs = "own"
[[samplers]]
kind = "model"
name = "live"
buffer_size = 8
p_batch = 0.5
[training]
checkpoint_every = 2
"""
PRIOR = Path(__file__).parents[3] / "data" / "small-prior"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("bench") / "bench.toml"
    file.write_text(CONFIG.format(prior=PRIOR))
    return load_settings(file).to_json()


def the_run(settings: str, folder: Path, budget: int = BUDGET) -> BenchRun:
    return BenchRun("isomers_c7h8n2o2", 3, settings, budget, folder)


def calls_of(run: BenchRun) -> list[tuple[str, float]]:
    """The different molecules of a run in the order of its calls, with their rewards."""
    with SampleStore.open(run.store, read_only=True) as store:
        rows = store.query(
            "SELECT smiles, reward FROM sample_history WHERE kept "
            'ORDER BY iteration, event, sampler_order, chunk, "row"'
        ).rows()
    return list(dict(rows).items())


@pytest.fixture(scope="module")
def done(settings: str, tmp_path_factory: pytest.TempPathFactory) -> BenchRun:
    run = the_run(settings, tmp_path_factory.mktemp("done"))
    run_one(run, lambda _: None)
    return run


def test_a_run_makes_its_calls_and_no_more_and_each_molecule_counts_once(done: BenchRun) -> None:
    calls = calls_of(done)
    with SampleStore.open(done.store, read_only=True) as store:
        rewards = rewards_of_calls(store, done.run_id)
        status = store.query("SELECT arg_max(status, created), arg_max(detail, created) FROM run_events").row(0)
    assert len(rewards) == BUDGET
    assert rewards == [reward for _, reward in calls]
    assert status == ("finished", f"{BUDGET} oracle calls")


def test_its_campaign_is_the_configuration_with_the_task_seed_and_budget(settings: str, tmp_path: Path) -> None:
    campaign = the_run(settings, tmp_path).campaign
    keys = json.loads(campaign.to_json())["campaign"]
    assert (keys["name"], keys["seed"], keys["max_oracle_calls"]) == ("pmo:isomers_c7h8n2o2", 3, BUDGET)
    assert keys["iterations"] >= BUDGET
    assert [each.build().name for each in campaign.objective.components] == ["pmo:isomers_c7h8n2o2"]
    assert [each.name for each in campaign.samplers] == ["live"]


def test_a_run_that_is_cut_off_goes_on_and_is_the_same(settings: str, done: BenchRun, tmp_path: Path) -> None:
    run, ticks = the_run(settings, tmp_path), itertools.count()
    said: list[str] = []
    # The time is over at the first checkpoint, after two iterations; then it goes on, and has another budget at first.
    with pytest.raises(TimeIsUpError):
        run_one(run, said.append, deadline=1, clock=lambda: float(next(ticks)))
    assert not is_done(run)
    assert 0 < len(calls_of(run)) < BUDGET
    (early,) = results_of_folder(tmp_path)
    assert not early.ended
    assert "(not at its end)" in bench_table([early])
    assert run_all([run], 1, said.append, minutes=0) == ([], False)
    assert said[-1] == "0 of 1 runs are done, 1 to go"
    run_one(run, said.append)
    assert calls_of(run) == calls_of(done)
    assert run_all([run], 1, said.append) == ([], True)
    assert said[-1] == "1 of 1 runs are done, 0 to go"


def test_the_result_is_that_of_its_calls(done: BenchRun) -> None:
    (result,) = results_of_folder(done.folder)
    rewards = [reward for _, reward in calls_of(done)]
    assert (result.task, result.seed, result.budget, result.calls) == ("isomers_c7h8n2o2", 3, BUDGET, BUDGET)
    assert result.auc_top_10 == pytest.approx(area_under_best(rewards, BUDGET))
    assert result.top_1 == pytest.approx(max(rewards))
    assert result.ended
    assert result.validity is not None
    assert 0.5 < result.validity <= 1
    assert result.sa_score is not None
    assert 1 < result.sa_score < 5
    assert result.diversity is not None
    assert 0.5 < result.diversity < 1


def test_the_table_has_a_row_for_each_task_and_the_sums_apart(done: BenchRun) -> None:
    (result,) = results_of_folder(done.folder)
    tuned = [
        type(result)(**{**vars(result), "task": "median2", "seed": seed, "auc_top_10": value, "budget": 10_000})
        for seed, value in enumerate((0.25, 0.35))
    ]
    other = type(result)(**{**vars(result), "task": "qed", "auc_top_10": 0.9, "budget": 10_000})
    lines = bench_table([*tuned, other]).splitlines()
    assert lines[2].startswith("| median2 | 0.276 | 0.300 ± 0.071 |")
    assert lines[3].startswith("| **sum of 1 tuning tasks** | 0.276 | **0.300** |")
    assert lines[4].startswith("| qed | 0.941 | 0.900 |")
    assert lines[6].startswith("| **sum of all 2** | 1.217 | **1.200** |")
    assert len({line.count("|") for line in lines}) == 1
    assert bench_table([]) == "no runs yet"


def test_the_runs_of_a_seed_come_before_those_of_the_next(settings: str, tmp_path: Path) -> None:
    runs = in_order(["qed", "median1"], [0, 1], settings=settings, budget=10, folder=tmp_path)
    assert [(run.task, run.seed) for run in runs] == [("qed", 0), ("median1", 0), ("qed", 1), ("median1", 1)]
    assert len({run.run_id for run in runs}) == len({run.store for run in runs}) == 4


def test_runs_are_made_in_processes_and_one_that_fails_does_not_end_the_others(
    settings: str, done: BenchRun, tmp_path: Path
) -> None:
    runs = [
        BenchRun("qed", 0, settings.replace(str(PRIOR), "no-such-policy"), 8, tmp_path),
        the_run(settings, tmp_path),
    ]
    said: list[str] = []
    failed, all_done = run_all(runs, 1, said.append)
    assert (failed, all_done) == (["qed seed 0"], True)
    assert calls_of(runs[1]) == calls_of(done)


@pytest.mark.parametrize("jobs", [1, 3])
def test_as_many_runs_as_jobs_are_at_work_at_a_time(
    settings: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    at_work: set[str] = set()
    most: list[int] = []

    class Worker:
        """One that has done its work when it is looked at."""

        returncode = 0

        def __init__(self, run: BenchRun, *_: object) -> None:
            self.run, self.process = run, self
            at_work.add(run.title)
            most.append(len(at_work))

        def poll(self) -> int:
            at_work.discard(self.run.title)
            return 0

        def close(self) -> None:
            pass

    monkeypatch.setattr("molbuffer.flows.tools.pmo.workers._Worker", Worker)
    monkeypatch.setattr("molbuffer.flows.tools.pmo.workers.SECONDS_BETWEEN_LOOKS", 0)
    runs = in_order(["qed", "median1"], [0, 1], settings=settings, budget=10, folder=tmp_path)
    assert run_all(runs, jobs, lambda _: None) == ([], False)
    assert (len(most), max(most)) == (4, jobs)


def test_the_minutes_are_those_at_work(settings: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def at(seconds: int) -> None:
        instant = datetime(2026, 1, 1) + timedelta(seconds=seconds)
        for module in ("runs", "commit"):
            monkeypatch.setattr(f"molbuffer.storage.commits.{module}.now", lambda: instant)

    run = the_run(settings, tmp_path)
    record = Run(run.run_id, run.campaign.campaign.name, RunKind.TRAIN, run.campaign.to_json(), run.seed)
    columns = {"tokens": np.zeros((0, 1), np.uint8), "lengths": np.zeros(0, np.int32)}
    columns["log_probs"] = np.zeros((0, 1), np.float32)
    nothing = Samples([], [], [], Rows(**columns, vocabulary_sha256="v"))
    with SampleStore.create(run.store) as store:
        at(0)
        store.start_run(record)
        at(60)
        store.commit(Commit([Build(run.run_id, 0, Event.BUILD_BUFFER, "live", "model", nothing)]))
        # It is killed, and goes on after a while, twice.
        at(75)
        store.start_run(record)
        at(165)
        store.finish_run(run.run_id, RunStatus.INTERRUPTED)
        at(9_000)
        store.start_run(record)
    (result,) = results_of_folder(tmp_path)
    assert result.minutes == pytest.approx((60 + 90) / 60, abs=1e-3)


@pytest.mark.parametrize(
    ("added", "message"),
    [
        ("[campaign]\noffline = true", "online"),
        ("[[stages]]\niterations = 2\nobjective = { named = 'pmo:median1' }\n[[stages]]", "objective"),
    ],
)
def test_a_configuration_whose_objective_cannot_be_replaced_is_refused(
    tmp_path: Path, added: str, message: str
) -> None:
    text = CONFIG.format(prior=PRIOR).replace("[campaign]", "") if "campaign" in added else CONFIG.format(prior=PRIOR)
    file = tmp_path / "bench.toml"
    file.write_text(f"{added}\n{text}" if "campaign" in added else f"{text}\n{added}")
    with pytest.raises(UsageError, match=message):
        check_bench_settings(load_settings(file))


def test_runs_at_their_end_are_archived_once_and_with_checksums(settings: str, tmp_path: Path) -> None:
    folder, out, said = tmp_path / "pmo", tmp_path / "archives", list[str]()
    run_one(BenchRun("qed", 1, settings, 8, folder), lambda _: None)
    results = results_of_folder(folder)
    sums = archive_runs(folder, [*results, replace(results[0], task="median1", ended=False)], out, said.append)
    archive = out / "qed-1.tar.zst"
    assert said == [f"archived {archive}"]
    assert sums.read_text() == f"{hashlib.sha256(archive.read_bytes()).hexdigest()}  qed-1.tar.zst\n"
    with SampleStore.open_or_create(tmp_path / "copy") as copy, trusted_archive(archive, ArchiveLimits()) as (rows, _):
        copy.merge(rows)
        assert copy.query("SELECT count(DISTINCT smiles) FROM sample_history WHERE kept").item() == 8
    before = archive.stat().st_mtime_ns
    assert archive_runs(folder, results, out, said.append).read_text() == sums.read_text()
    assert (archive.stat().st_mtime_ns, len(said)) == (before, 1)
