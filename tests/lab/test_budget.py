"""R26: a run asks its objective for no more different molecules than its budget has, and for exactly as many."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import molbuffer as mb
from molbuffer.lab import building
from molbuffer.storage import SampleStore
from molbuffer.training import FitProgress
from molbuffer.training.errors import HistoryError

ROWS = """SELECT iteration, event, sampler_order, chunk, "row", raw, smiles, rejected_by, reward, policy_sha256
    FROM sample_history WHERE run_id = ? ORDER BY iteration, event, sampler_order, chunk, "row" """
CALLS = """SELECT iteration, value FROM metrics WHERE run_id = ? AND name = 'oracle_calls' ORDER BY iteration"""
ASKED = "SELECT count(DISTINCT smiles) FROM sample_history WHERE run_id = ? AND kept"
REFUSED_AND_ASKED = """SELECT count(*) FROM sample_history AS refused JOIN sample_history AS asked
    ON asked.run_id = refused.run_id AND asked.smiles = refused.smiles
    WHERE refused.run_id = ? AND refused.rejected_by = 'budget' AND (asked.kept OR refused.reward IS NOT NULL)"""
QUERIES = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "query.md"
BUDGET = 42
KILLS = (4, 6)
"""The commits after which a process is killed, counted over all processes of a run."""


class KilledError(Exception):
    """What ends a process in these tests."""


def train(lab: mb.Lab, policy: mb.Policy, objective: mb.Objective, *, budget: int = BUDGET, **more: Any) -> Any:
    """Train with a live sampler and a buffer that is built, with a file whose rows are rejected in the batch."""
    resume, files, buffer_size = more.pop("resume", None), more.pop("files", None), more.pop("buffer_size", 24)
    with lab.run("budget", objective=objective, policy=policy, seed=3, resume=resume) as run:
        samplers: list[Any] = [mb.ModelSampler("agent", run.agent, size=mb.SamplerSize(buffer_size, 0.5))]
        if files is not None:
            samplers.append(mb.DatasetSampler("bad", files, run.vocabulary, size=mb.SamplerSize(0, 0.5)))
        settings: dict[str, Any] = {"batch_size": 8, "iterations": 30, "checkpoint_every": 2, "build_every": 4}
        steps = mb.LearnerSettings(learning_rate=5e-3)
        return run.train(
            samplers=samplers,
            learner=steps,
            loss=mb.Reinvent(sigma=10.0),
            own_only=True,
            max_oracle_calls=budget,
            **(settings | more),
        )


def newest(lab: mb.Lab) -> str:
    return str(lab.runs()["run_id"][0])


def number(lab: mb.Lab, sql: str, run_id: str) -> int:
    return int(lab.query(sql, [run_id]).item())


def assert_exact(lab: mb.Lab, run_id: str, budget: int = BUDGET) -> None:
    assert number(lab, ASKED, run_id) == budget
    assert number(lab, REFUSED_AND_ASKED, run_id) == 0
    calls = lab.query(CALLS, [run_id])
    assert calls["value"].is_sorted()
    assert calls["value"][-1] == budget
    assert calls["iteration"].to_list() == list(range(len(calls)))


@pytest.fixture(scope="module")
def spent_once(
    empty_store: Path, policy: mb.Policy, qed: mb.Objective, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Any]:
    """A closed store, to be copied, with a run that has spent its budget; and what the training of it returned."""
    path = shutil.copytree(empty_store, tmp_path_factory.mktemp("spent") / "store")
    with mb.open(path) as lab:
        return path, train(lab, policy, qed)


@pytest.fixture
def spent(spent_once: tuple[Path, Any], open_copy: Callable[[Path], SampleStore]) -> tuple[mb.Lab, Any]:
    """A lab with a run that has spent its budget, a copy of the test's own; and what the training of it returned."""
    return mb.Lab(open_copy(spent_once[0])), spent_once[1]


@pytest.fixture
def bad_file(tmp_path: Path) -> Path:
    """A file whose rows are no molecules, so that each live draw is made up for by a build in the same iteration."""
    (tmp_path / "bad.smi").write_text("C(\nN(\nC\n")
    return tmp_path / "bad.smi"


@pytest.fixture
def other_lab(tmp_path: Path) -> Iterator[mb.Lab]:
    with SampleStore.create(tmp_path / "other") as store:
        yield mb.Lab(store)


def test_r26_a_run_ends_with_its_last_oracle_call(spent: tuple[mb.Lab, Any]) -> None:
    lab, result = spent
    assert (result.oracle_calls, result.ended) == (BUDGET, "42 oracle calls")
    assert result.iterations < 30
    assert_exact(lab, result.run_id)
    assert number(lab, "SELECT count(DISTINCT smiles) FROM scores WHERE run_id = ?", result.run_id) == BUDGET
    assert lab.runs().select("status", "detail", "oracle_calls").row(0) == ("finished", "42 oracle calls", BUDGET)
    best_over_the_calls, *_ = re.findall(r"```sql\n(.*?)```", QUERIES.read_text(), re.DOTALL)
    course = lab.query(best_over_the_calls, [result.run_id])
    assert course["call"].to_list() == list(range(1, BUDGET + 1))
    assert course["best"].is_sorted()
    assert course["best"][-1] == lab.query("SELECT max(reward) FROM sample_history").item()
    first = lab.query(ROWS, [result.run_id]).filter(pl.col("rejected_by").is_null())
    assert course["best"][0] == first["reward"][0]


def test_r26_molecules_with_stored_scores_cost_calls_of_a_run_that_asks_for_them_first(
    spent: tuple[mb.Lab, Any], policy: mb.Policy, qed: mb.Objective
) -> None:
    lab, first = spent
    second = train(lab, policy, qed)
    assert_exact(lab, second.run_id)
    assert number(lab, "SELECT count(*) FROM scores WHERE run_id = ?", second.run_id) == 0
    assert_frame_equal(lab.query(ROWS, [first.run_id]), lab.query(ROWS, [second.run_id]))


@pytest.mark.parametrize(
    ("buffer_size", "with_file"), [(120, False), (24, True)], ids=["in a build", "in builds that follow live draws"]
)
def test_r26_a_run_that_is_killed_again_and_again_makes_the_calls_of_one_that_is_not(
    lab: mb.Lab,
    other_lab: mb.Lab,
    policy: mb.Policy,
    qed: mb.Objective,
    bad_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    through_kills: Callable[..., Any],
    *,
    buffer_size: int,
    with_file: bool,
) -> None:
    monkeypatch.setattr(building, "CHUNK_ROWS", 16)
    parts = {"buffer_size": buffer_size, "files": bad_file if with_file else None}
    whole = train(lab, policy, qed, **parts)
    assert_exact(lab, whole.run_id)
    if buffer_size > BUDGET:
        assert number(lab, "SELECT count(*) FROM sample_history WHERE rejected_by = ?", "budget") > 0

    def train_other() -> Any:
        begun = len(other_lab.runs()) > 0
        return train(other_lab, policy, qed, resume=newest(other_lab) if begun else None, **parts)

    result = through_kills(train_other, at=KILLS, kill=KilledError, ends=(KilledError, HistoryError))
    assert_exact(other_lab, result.run_id)
    assert_frame_equal(other_lab.query(ROWS, [result.run_id]), lab.query(ROWS, [whole.run_id]))
    assert_frame_equal(other_lab.query(CALLS, [result.run_id]), lab.query(CALLS, [whole.run_id]))
    assert result.policy_sha256 == whole.policy_sha256


def test_r26_a_batch_without_a_reward_is_recorded_without_a_step(
    lab: mb.Lab, policy: mb.Policy, write_scorer: Callable[[str], str]
) -> None:
    module = write_scorer("def fails(smiles):\n    raise RuntimeError('no value')\n")
    objective = mb.Objective([mb.PythonFunction(f"{module}:fails")])
    with lab.run("budget", objective=objective, policy=policy, seed=3, max_failed_share=1.0) as run:
        live = mb.ModelSampler("agent", run.agent, size=mb.SamplerSize(0, 1.0))
        result = run.train(batch_size=8, iterations=9, samplers=[live], max_oracle_calls=4)
    assert (result.iterations, result.ended, result.policy_sha256) == (1, "4 oracle calls", policy.sha256)
    assert number(lab, "SELECT count(*) FROM scores WHERE run_id = ? AND status = 'failed'", result.run_id) == 4
    assert number(lab, ASKED, result.run_id) == 4
    assert number(
        lab, "SELECT count(*) FROM metrics WHERE run_id = ? AND name = 'loss' AND value IS NULL", result.run_id
    )


def test_r26_a_budget_can_be_raised_and_the_calls_made_count(
    spent: tuple[mb.Lab, Any], policy: mb.Policy, qed: mb.Objective
) -> None:
    lab, first = spent
    again = train(lab, policy, qed, resume=first.run_id)
    assert (again.iterations, again.policy_sha256) == (first.iterations, first.policy_sha256)
    raised = train(lab, policy, qed, resume=first.run_id, budget=60)
    assert raised.ended == "60 oracle calls"
    assert number(lab, ASKED, first.run_id) == 60


def test_r26_the_molecules_of_builds_before_a_training_count(lab: mb.Lab, policy: mb.Policy, qed: mb.Objective) -> None:
    with lab.run("budget", objective=qed, policy=policy, seed=3) as run:
        run.build(mb.ModelSampler("agent", run.agent), n=24)
        result = run.train(batch_size=8, iterations=99, samplers={"agent": 0.5}, max_oracle_calls=BUDGET)
    assert_exact(lab, result.run_id)


def test_time_and_patience_end_a_run_and_a_resumed_one_counts_on(
    lab: mb.Lab, policy: mb.Policy, qed: mb.Objective
) -> None:
    timed = train(lab, policy, qed, budget=10_000, max_minutes=1e-6)
    assert (timed.ended, timed.iterations) == ("1e-06 minutes", 1)
    assert train(lab, policy, qed, budget=10_000, max_minutes=1e-6, resume=timed.run_id).iterations == 1

    whole = train(lab, policy, qed, budget=10_000, iterations=60, patience=3, patience_top=2)
    assert whole.ended is not None
    assert whole.ended.startswith("3 iterations in which the 2 best molecules stayed at ")
    best = lab.query(
        "SELECT value FROM metrics WHERE run_id = ? AND name = 'best_reward' ORDER BY iteration", [whole.run_id]
    )["value"]
    top = lab.query(
        """SELECT max(reward) AS reward FROM sample_history WHERE run_id = ? AND kept GROUP BY smiles
        ORDER BY reward DESC LIMIT 2""",
        [whole.run_id],
    )["reward"]
    assert best[-1] == pytest.approx(top.mean())
    assert best.is_sorted()
    assert best[-4] == best[-1] > (best[-5] if len(best) > 4 else 0)

    stop = whole.iterations - 2

    def killed(progress: FitProgress) -> None:
        if progress.iteration == stop:
            raise KilledError

    with pytest.raises(KilledError):
        train(lab, policy, qed, budget=10_000, iterations=60, patience=3, patience_top=2, progress=killed)
    resumed = train(lab, policy, qed, budget=10_000, iterations=60, patience=3, patience_top=2, resume=newest(lab))
    assert (resumed.ended, resumed.policy_sha256) == (whole.ended, whole.policy_sha256)
    assert_frame_equal(lab.query(ROWS, [resumed.run_id]), lab.query(ROWS, [whole.run_id]))
