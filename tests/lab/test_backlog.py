"""R1, R14: rows that are committed before their dear scores, whoever scores them, and a training that waits."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import molbuffer as mb
from molbuffer.lab import BacklogError, BacklogScorer, FailedScoresError, Pauses, find_among
from molbuffer.lab import backlog as backlog_module
from molbuffer.samplers import Backlog, ClaimTiming
from molbuffer.scoring import RawScore, ScorerUnavailableError
from molbuffer.scoring.transforms import Linear
from molbuffer.storage import SampleStore
from molbuffer.training import BatchShortError, Waiting

QUICK = ClaimTiming(claim_seconds=2.0, renewal_seconds=0.2, flush_seconds=0.02, poll_seconds=0.05)
PAUSES = Pauses(first_seconds=0.01, longest_seconds=0.05, attempts=3, look_seconds=0.05)


class Dock:
    """An expensive component that counts its calls, and fails or is lost for some molecules."""

    kind = "dock"
    bounded, parallel, cost = True, False, "high"

    def __init__(self, name: str = "dock", seconds: float = 0.0) -> None:
        self.name, self.version, self.seconds = name, f"{name}-1", seconds
        self.calls: Counter[str] = Counter()
        self.down: dict[str, Exception | float] = {}
        self.away: Exception | None = None

    def values(self, molecules: Sequence[str]) -> list[RawScore]:
        self.calls.update(molecules)
        time.sleep(self.seconds)
        return [self._value(self.away or self.down.get(smiles, len(smiles) / 20)) for smiles in molecules]

    def _value(self, found: Exception | float) -> RawScore:
        return RawScore.failed(found) if isinstance(found, Exception) else RawScore.of(found)


@pytest.fixture
def dock() -> Dock:
    return Dock()


@pytest.fixture(scope="session")
def built_once(empty_store: Path, tmp_path_factory: pytest.TempPathFactory, policy: mb.Policy) -> Path:
    """A closed store, to be copied, with a build of 12 rows that wait for their scores."""
    path = shutil.copytree(empty_store, tmp_path_factory.mktemp("backlog") / "store")
    with mb.open(path) as lab:
        built(lab, objective_of(Dock()), policy)
    return path


@pytest.fixture
def waiting(open_copy: Callable[[Path], SampleStore], built_once: Path) -> mb.Lab:
    """A lab with 12 rows that wait for their scores."""
    return mb.Lab(open_copy(built_once))


def objective_of(dock: Dock, mode: str = "backlog") -> mb.Objective:
    return mb.Objective([mb.QED(), dock], mode=mode)  # type: ignore[arg-type, list-item]


def worked_off(store: SampleStore, objective: mb.Objective, **more: Any) -> Any:
    template = more.pop("template", None)
    backlog = Backlog(objective, store, template, pace=QUICK)
    find = find_among(dict.fromkeys(backlog.objectives, backlog))
    return BacklogScorer(store, find, **{"pauses": PAUSES, "batch": 16, **more}).run()


def built(lab: mb.Lab, objective: mb.Objective, policy: mb.Policy, n: int = 12, **more: Any) -> str:
    with lab.run("build", objective=objective, policy=policy, seed=1, **more) as run:
        run.build(mb.ModelSampler("agent", run.agent), n=n)
    return run.run_id


def rows_of(lab: mb.Lab, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a SELECT, without the process that a query of people has."""
    return [tuple(row.values()) for row in lab.store.read_arrow(sql).to_pylist()]


def statuses(lab: mb.Lab) -> dict[str, int]:
    sql = "SELECT reward_status, count(*)::INTEGER FROM {sample_history} WHERE kept GROUP BY ALL"
    return dict(rows_of(lab, sql))


def molecules(lab: mb.Lab) -> set[str]:
    return {smiles for (smiles,) in rows_of(lab, "SELECT DISTINCT smiles FROM {samples} WHERE kept")}


def test_a_build_waits_for_cheap_scores_only_and_the_rest_is_scored_later(
    lab: mb.Lab, policy: mb.Policy, dock: Dock
) -> None:
    objective = objective_of(dock)
    run_id = built(lab, objective, policy)
    assert (statuses(lab), sum(dock.calls.values())) == ({"pending": 12}, 0)
    (count,) = lab.store.count_pending()
    assert (count.run_id, count.rows) == (run_id, 12)
    assert rows_of(lab, "SELECT count(*) FROM {scores} WHERE component = 'qed'") == [(len(molecules(lab)),)]
    assert lab.runs().select("kept", "pending", "mean_reward").rows() == [(12, 12, None)]
    done = lab.score_pending(objective)
    assert statuses(lab) == {"ok": 12}
    (listed,) = lab.runs().filter(name="build").select("pending", "mean_reward").rows()
    assert (listed[0], listed[1] > 0) == (0, True)
    assert (done.completed, done.left, dock.calls) == (12, 0, dict.fromkeys(molecules(lab), 1))
    # They are what the run would have had without a backlog.
    expected = lab.score(sorted(molecules(lab)), objective).select("molecule", "reward").rows()
    assert dict(rows_of(lab, "SELECT DISTINCT smiles, reward FROM {sample_history} WHERE kept")) == dict(expected)
    assert rows_of(lab, "SELECT DISTINCT run_id FROM {scores}") == [(run_id,)]
    assert lab.store.verify().errors == ()
    kinds = rows_of(lab, "SELECT name, kind FROM {runs} ORDER BY created")
    assert kinds[:2] == [("build", "train"), ("score-pending", "score")]


def test_known_scores_complete_rows_at_once_and_without_a_call(lab: mb.Lab, policy: mb.Policy, dock: Dock) -> None:
    built(lab, objective_of(dock, "inline"), policy)
    calls = dict(dock.calls)
    built(lab, objective_of(dock), policy)
    assert (statuses(lab), dict(dock.calls)) == ({"ok": 24}, calls)
    # Scores that came after the build, as of a scorer that was killed before it completed rewards.
    other = Dock("other")
    built(lab, objective_of(other), policy)
    lab.score(sorted(molecules(lab)), objective_of(other, "inline"))
    calls = dict(other.calls)
    assert statuses(lab)["pending"] == 12
    lab.score_pending(objective_of(other))
    assert (statuses(lab), dict(other.calls)) == ({"ok": 36}, calls)


def test_a_molecules_failure_is_final_and_one_of_a_cheap_component_costs_no_dear_call(
    lab: mb.Lab, policy: mb.Policy, dock: Dock
) -> None:
    cheap = Dock("cheap")
    cheap.cost = "low"
    objective = mb.Objective([cheap, dock], mode="backlog")  # type: ignore[list-item]
    with lab.run("build", objective=objective, policy=policy, seed=1, max_failed_share=1.0) as run:
        drawn = lab.score(["CCO"], mb.Objective([mb.QED()]))
        assert drawn is not None
        cheap.down = _Every(lambda smiles: ValueError("no") if smiles.startswith("C") else 0.5)
        run.build(mb.ModelSampler("agent", run.agent), n=16)
    refused = {smiles for smiles in molecules(lab) if smiles.startswith("C")}
    others = sorted(molecules(lab) - refused)
    assert statuses(lab)["failed"] >= len(refused) > 0
    dock.down = {others[0]: ValueError("too large"), others[1]: math.nan}
    done = lab.score_pending(objective)
    assert dock.calls == dict.fromkeys(others, 1)
    assert (done.left, done.lost) == (0, 0)
    failed = rows_of(lab, "SELECT DISTINCT smiles FROM {sample_history} WHERE reward_status = 'failed'")
    assert {smiles for (smiles,) in failed} == refused | set(others[:2])
    # Nobody tries them again.
    assert lab.score_pending(objective).computed == 0


class _Every(dict[str, Any]):
    """What a function says of any molecule."""

    def __init__(self, of: Callable[[str], Any]) -> None:
        self.of = of

    def get(self, key: str, default: Any = None) -> Any:
        return self.of(key)


def test_r27_what_the_machinery_loses_is_tried_again_and_stays_pending(waiting: mb.Lab, dock: Dock) -> None:
    objective = objective_of(dock)
    # One molecule is lost twice, and then it has a score.
    unlucky = sorted(molecules(waiting))[0]
    lost = iter([ScorerUnavailableError("no licence"), ScorerUnavailableError("no licence")])
    dock.down = _Every(lambda smiles: next(lost, 0.5) if smiles == unlucky else 0.5)
    done = worked_off(waiting.store, objective)
    assert (statuses(waiting), done.lost, dock.calls[unlucky]) == ({"ok": 12}, 2, 3)


def test_a_scorer_whose_machinery_is_dead_ends_with_an_error_and_rows_stay_pending(waiting: mb.Lab, dock: Dock) -> None:
    objective = objective_of(dock)
    dock.away = ScorerUnavailableError("the server is away")
    with pytest.raises(BacklogError, match=r"the server is away.*12 rows are still pending"):
        worked_off(waiting.store, objective)
    assert statuses(waiting) == {"pending": 12}
    dock.away = None
    assert worked_off(waiting.store, objective).completed == 12


def test_rewards_are_complete_only_with_all_components(lab: mb.Lab, policy: mb.Policy, dock: Dock) -> None:
    second = Dock("second")
    gated = mb.WeightedComponent(second, after="dock > 0.3", otherwise=0.2)  # type: ignore[arg-type]
    objective = mb.Objective([dock, gated], mode="backlog")  # type: ignore[list-item]
    built(lab, objective, policy)
    second.away = ScorerUnavailableError("away")
    assert worked_off(lab.store, objective).given_up == len({each for each in molecules(lab) if len(each) > 6})
    by_gate = rows_of(lab, "SELECT DISTINCT length(smiles) > 6 AS long, reward_status FROM {sample_history} WHERE kept")
    assert sorted(by_gate) == [(False, "ok"), (True, "pending")]
    assert set(second.calls) == {smiles for smiles in molecules(lab) if len(smiles) > 6}
    second.away = None
    worked_off(lab.store, objective)
    assert set(statuses(lab)) == {"ok"}


def test_two_scorers_share_a_backlog_and_pay_once(lab: mb.Lab, policy: mb.Policy) -> None:
    dock = Dock(seconds=0.02)
    objective = objective_of(dock)
    built(lab, objective, policy, n=24)
    done: list[Any] = []
    threads = [threading.Thread(target=lambda: done.append(worked_off(lab.store, objective))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert dock.calls == dict.fromkeys(molecules(lab), 1)
    assert sum(each.computed for each in done) == len(molecules(lab)) and all(each.computed for each in done)
    assert sum(each.completed for each in done) == 24
    assert statuses(lab) == {"ok": 24}


KILLED = """
import json, os, signal, sys, time
import molbuffer as mb
sys.path.insert(0, sys.argv[3])
from test_backlog import Dock, objective_of, worked_off

class Late(Dock):
    def values(self, molecules):
        if len(self.calls) == 3:
            print(json.dumps([list(self.calls), list(molecules)]), flush=True)
            time.sleep(600)
        return super().values(molecules)

with mb.open(sys.argv[1]) as lab:
    worked_off(lab.store, objective_of(Late()))
"""


@dataclass
class Hanging:
    """A scorer in a process of its own that hangs in its fourth call.

    Attributes:
        process: the process.
        scored: the molecules that it has scored.
        at: those that it is at.
    """

    process: subprocess.Popen[str]
    scored: list[str]
    at: list[str]


@pytest.fixture
def hanging(waiting: mb.Lab) -> Iterator[Hanging]:
    code = [sys.executable, "-c", KILLED, str(waiting.store.path), "", str(Path(__file__).parent)]
    with subprocess.Popen(code, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        yield Hanging(process, *json.loads(process.stdout.readline()))
        process.kill()


def test_what_a_killed_scorer_was_at_is_all_that_is_done_again(waiting: mb.Lab, hanging: Hanging, dock: Dock) -> None:
    deadline = time.monotonic() + 600
    while waiting.store.count_pending()[0].completed < len(hanging.scored) and time.monotonic() < deadline:
        time.sleep(0.05)
    hanging.process.kill()
    hanging.process.wait()
    worked_off(waiting.store, objective_of(dock))
    assert dock.calls == dict.fromkeys(molecules(waiting) - set(hanging.scored), 1)
    assert set(hanging.at) <= set(dock.calls)
    assert statuses(waiting) == {"ok": 12}


def test_a_scorer_that_is_interrupted_gives_its_claims_back(waiting: mb.Lab, hanging: Hanging) -> None:
    assert waiting.store.claims.holders("dock", "dock-1", hanging.at).keys() == set(hanging.at)
    os.kill(hanging.process.pid, signal.SIGINT)
    assert hanging.process.wait(600) != 0
    assert waiting.store.claims.holders("dock", "dock-1", hanging.at) == {}
    (count,) = waiting.store.count_pending()
    assert count.completed >= len(hanging.scored)
    status = rows_of(waiting, "SELECT arg_max(status, created) FROM {run_events} GROUP BY run_id")
    assert ("interrupted",) in status


def train(run: mb.LabRun, iterations: int, waiting: Waiting, **more: Any) -> Any:
    from molbuffer.lab.runs import lab_run

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lab_run, "Waiting", lambda *_: waiting)
        return run.train(batch_size=4, iterations=iterations, samplers={"agent": 0.0}, **more)


IMPATIENT = Waiting(timeout_seconds=0.4, look_seconds=0.02, claims_seconds=0.05, say_seconds=0.0)


def test_r14_a_training_waits_for_rows_in_flight_and_then_says_what_is_missing(
    lab: mb.Lab, policy: mb.Policy, dock: Dock, caplog: pytest.LogCaptureFixture
) -> None:
    objective = objective_of(dock)
    with lab.run("train", objective=objective, policy=policy, seed=1) as run:
        run.build(mb.ModelSampler("agent", run.agent), n=8)
        lab.score_pending(objective)
        once = {"selection": mb.ConsumeOnce()}
        with pytest.raises(
            BatchShortError, match=r"8 rows of the run wait.*nobody scores them: start `molbuffer score-"
        ):
            train(run, 4, IMPATIENT, **once)
        assert "iteration 2 waits for 4 rows: 8 of the run wait for their scores since" in caplog.text
    # It has built once in the iteration that was short, and scored nothing itself.
    assert statuses(lab) == {"ok": 8, "pending": 8}
    calls = dict(dock.calls)
    lab.score_pending(objective)
    with lab.run("train", objective=objective, policy=policy, seed=1, resume=run.run_id) as run:
        run.build(mb.ModelSampler("agent", run.agent), n=8)
        assert train(run, 4, IMPATIENT, **once).iterations == 4
    assert (statuses(lab), calls.items() <= dock.calls.items()) == ({"ok": 16}, True)


def test_a_training_goes_on_as_soon_as_enough_rows_have_a_reward(lab: mb.Lab, policy: mb.Policy) -> None:
    dock = Dock(seconds=0.1)
    objective = objective_of(dock)
    with lab.run("train", objective=objective, policy=policy, seed=1) as run:
        run.build(mb.ModelSampler("agent", run.agent), n=12)
        scorer = threading.Thread(target=worked_off, args=(lab.store, objective))
        scorer.start()
        patient = Waiting(timeout_seconds=60, look_seconds=0.02, claims_seconds=0.05)
        result = train(run, 3, patient, selection=mb.ConsumeOnce())
        scorer.join()
    assert result.iterations == 3
    assert set(dock.calls.values()) == {1}
    assert rows_of(lab, "SELECT count(*) AS n, count(DISTINCT (build_id, row)) AS different FROM {consumed}") == [
        (12, 12)
    ]


def test_a_resumed_training_is_the_same_when_the_rewards_came_before_its_pin(
    lab: mb.Lab, policy: mb.Policy, dock: Dock
) -> None:
    def trained(cut: int | None) -> list[np.ndarray[Any, Any]]:
        objective, run_id = objective_of(dock), None
        for iterations in (4,) if cut is None else (cut, 4):
            with lab.run("train", objective=objective, policy=policy, seed=1, resume=run_id) as run:
                run.build(mb.ModelSampler("agent", run.agent), n=12)
                lab.score_pending(objective)
                train(run, iterations, IMPATIENT, own_only=True, checkpoint_every=2)
                run_id = run.run_id
        return [parameter.detach().numpy() for parameter in run.agent().model.parameters()]

    for whole, resumed in zip(trained(None), trained(2), strict=True):
        np.testing.assert_array_equal(whole, resumed)


def test_r26_a_row_that_waits_is_an_oracle_call_and_costs_no_second_one(
    lab: mb.Lab, policy: mb.Policy, dock: Dock
) -> None:
    objective = objective_of(dock)
    with lab.run("train", objective=objective, policy=policy, seed=1) as run:
        run.build(mb.ModelSampler("agent", run.agent, unique=True), n=12)
        lab.score_pending(objective)
        result = train(run, 2, IMPATIENT, max_oracle_calls=50)
    assert result.oracle_calls == len(dock.calls)


def test_a_run_whose_scores_fail_in_the_backlog_ends_as_any_other(lab: mb.Lab, policy: mb.Policy, dock: Dock) -> None:
    objective = objective_of(dock)
    dock.away = ValueError("the receptor is missing")
    with lab.run("train", objective=objective, policy=policy, seed=1) as run:
        run.build(mb.ModelSampler("agent", run.agent), n=32)
        lab.score_pending(objective)
        assert statuses(lab) == {"failed": 32}
        with pytest.raises(FailedScoresError, match="the receptor is missing"):
            train(run, 2, IMPATIENT)


def test_live_rows_are_scored_at_once(lab: mb.Lab, policy: mb.Policy, dock: Dock) -> None:
    objective = objective_of(dock)
    with lab.run("train", objective=objective, policy=policy, seed=1) as run:
        run.build(mb.ModelSampler("agent", run.agent), n=8)
        lab.score_pending(objective)
        run.train(batch_size=4, iterations=2, samplers={"agent": 0.5})
    events = rows_of(lab, "SELECT event, reward_status, count(*) FROM {sample_history} WHERE kept GROUP BY ALL")
    assert set(events) == {("build_buffer", "ok", 8), ("sample_batch", "ok", 4)}


def test_the_diversity_memory_counts_rows_when_their_rewards_come(lab: mb.Lab, policy: mb.Policy, dock: Dock) -> None:
    objective = objective_of(dock)
    diversity = mb.DiversitySettings(buckets="molecule", size=5, min_reward=0.0)
    with lab.run("train", objective=objective, policy=policy, seed=1) as run:
        run.build(mb.ModelSampler("agent", run.agent), n=8)
        lab.score_pending(objective)
        run.build(mb.ModelSampler("agent", run.agent), n=8)
        train(run, 1, IMPATIENT, diversity=diversity)
        first = {row["smiles"] for row in lab.store.read_arrow(BUCKETED).to_pylist()}
        late = molecules(lab) - first
        lab.score_pending(objective)
        train(run, 3, IMPATIENT, diversity=diversity, build_every=2)
    assert len(late) > 0
    counted = {row["smiles"]: row["iteration"] for row in lab.store.read_arrow(BUCKETED).to_pylist()}
    assert {counted[smiles] for smiles in first} == {0} and {counted[smiles] for smiles in late} == {2}


BUCKETED = "SELECT smiles, iteration FROM {bucketed_molecules}"


def test_a_scorer_leaves_rows_of_an_objective_that_it_was_not_given(lab: mb.Lab, policy: mb.Policy, dock: Dock) -> None:
    built(lab, objective_of(dock), policy)
    other = objective_of(Dock("other"))
    with pytest.raises(BacklogError, match="none of those given"):
        lab.score_pending(other)
    built(lab, other, policy)
    assert (lab.score_pending(other).completed, statuses(lab)) == (12, {"ok": 12, "pending": 12})


def test_a_scorer_that_watches_takes_what_comes(
    lab: mb.Lab, policy: mb.Policy, dock: Dock, monkeypatch: pytest.MonkeyPatch
) -> None:
    objective, rounds = objective_of(dock), list[Any]()
    built(lab, objective, policy, n=4)

    def slept(_: float) -> None:
        rounds.append(statuses(lab))
        if len(rounds) == 1:
            built(lab, objective, policy, n=4)
        if len(rounds) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(backlog_module, "time", SimpleNamespace(sleep=slept, monotonic=time.monotonic))
    with pytest.raises(KeyboardInterrupt):
        worked_off(lab.store, objective, watch=True)
    assert rounds[0] == {"ok": 4} and rounds[-1] == {"ok": 8}


def test_what_goes_to_the_backlog(dock: Dock) -> None:
    cheap, sa = mb.WeightedComponent(mb.QED(), mode="backlog"), mb.SAScore()
    assert objective_of(dock).backlog == {"dock"}
    assert objective_of(dock, "inline").backlog == frozenset()
    assert mb.Objective([cheap, dock]).backlog == {"qed"}  # type: ignore[list-item]
    assert objective_of(dock).sha256 == objective_of(dock, "inline").sha256
    with pytest.raises(ValueError, match="unknown mode of an objective 'later'"):
        mb.Objective([mb.QED()], mode="later")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="mode of 'qed'"):
        mb.WeightedComponent(mb.QED(), mode="Backlog")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="nothing of the objective goes to the backlog"):
        mb.Objective([mb.WeightedComponent(sa, transform=Linear(1, 10))], mode="backlog")


def test_offline_training_leaves_out_what_waits_and_says_so(
    waiting: mb.Lab, policy: mb.Policy, dock: Dock, caplog: pytest.LogCaptureFixture
) -> None:
    objective = objective_of(dock)
    with pytest.raises(BatchShortError, match="12 rows are pending under the objective, and are left out"):
        waiting.offline("offline", objective=objective, policy=policy, steps=1, batch_size=2)
    # Five molecules of the twelve rows are scored; the machine is away for the others.
    some = sorted(molecules(waiting))[:5]
    dock.down = _Every(lambda smiles: 0.5 if smiles in some else ScorerUnavailableError("away"))
    left = worked_off(waiting.store, objective).left
    result = waiting.offline("offline", objective=objective, policy=policy, steps=1, batch_size=2)
    assert f"{left} rows are pending under the objective, and are left out" in caplog.text
    assert (result.iterations, statuses(waiting)) == (1, {"ok": 12 - left, "pending": left})
