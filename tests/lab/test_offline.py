"""Offline training: sources, relabelling, held-out rows, the best policy, fresh draws, and the report."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import molbuffer as mb
from molbuffer.kinds import WrongKeyError
from molbuffer.lab.errors import ValidationError
from molbuffer.lab.offline import EvaluationPlan, Judging, ValidationPlan, offline_training
from molbuffer.lab.offline.rows import OfflineRows, PinnedRows, RowSource
from molbuffer.lab.offline.split import split_rows
from molbuffer.samplers import derive_seed
from molbuffer.scoring import scaffolds_of
from molbuffer.storage import IndexScope, RunConflictError, StoreNotFoundError
from molbuffer.training import BatchShortError, StopSettings, UnsuitableDataError, evaluate_policy

LEARNING = mb.LearnerSettings(learning_rate=0.02, gradient_norm=10.0)


def share_of(letter: str, write_scorer: Any, calls: Path | None = None, **more: Any) -> mb.Objective:
    """Return the objective of the share of an atom, whose calls a file counts."""
    count = (
        ""
        if calls is None
        else f"    with Path({str(calls)!r}).open('a') as file:\n        file.write(smiles + chr(10))\n"
    )
    source = f"from pathlib import Path\ndef share(smiles):\n{count}    return smiles.count({letter!r}) / len(smiles)\n"
    # Otherwise some stored scores would be computed again, to be compared.
    name = f"{write_scorer(source)}:share"
    return mb.Objective([mb.PythonFunction(name, name="share", in_process=True, deterministic=False, **more)])


@pytest.fixture(scope="module")
def filled_template(
    empty_store: Path, policy: mb.Policy, qed: mb.Objective, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = shutil.copytree(empty_store, tmp_path_factory.mktemp("offline") / "store")
    with mb.open(path) as lab:
        for seed in (0, 1):
            with lab.run(f"run-{seed}", objective=qed, policy=policy, seed=seed) as run:
                run.build(mb.ModelSampler("agent", run.agent), n=40)
    return path


@pytest.fixture
def filled(filled_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[mb.Lab]:
    """A lab with two runs of 40 rows, a copy of the test's own."""
    monkeypatch.setenv("MOLBUFFER_CACHE", str(tmp_path / "cache"))
    with mb.open(shutil.copytree(filled_template, tmp_path / "lab")) as lab:
        yield lab


@pytest.fixture
def other(filled: mb.Lab, empty_store: Path, policy: mb.Policy, qed: mb.Objective, tmp_path: Path) -> Iterator[mb.Lab]:
    """Another lab, with a run of 16 rows."""
    with mb.open(shutil.copytree(empty_store, tmp_path / "other")) as lab:
        with lab.run("other", objective=qed, policy=policy, seed=5) as run:
            run.build(mb.ModelSampler("agent", run.agent), n=16)
        yield lab


def train(lab: mb.Lab, objective: mb.Objective, policy: mb.Policy, **more: Any) -> Any:
    given = {"steps": 4, "batch_size": 8, "seed": 1, "checkpoint_every": 2, "learner": LEARNING} | more
    return lab.offline("offline", objective=objective, policy=policy, **given)


def test_stores_and_archives_are_read_together_and_gone_on_with(
    filled: mb.Lab, other: mb.Lab, policy: mb.Policy, qed: mb.Objective, tmp_path: Path
) -> None:
    filled.store.archive(tmp_path / "archive")
    sources = [other.store.path, tmp_path / "archive", filled.store.path]
    straight = train(filled, qed, policy, sources=sources)
    # The archive has the rows of the store, which count once.
    assert straight.rows == 16 + 80
    assert straight.policy_sha256 == train(filled, qed, policy, sources=sources).policy_sha256
    assert straight.policy_sha256 != train(filled, qed, policy).policy_sha256
    short = train(filled, qed, policy, sources=sources, steps=2)
    with other.run("more", objective=qed, policy=policy, seed=6) as run:
        run.build(mb.ModelSampler("agent", run.agent), n=8)
    longer = train(filled, qed, policy, sources=sources, resume=short.run_id)
    assert (longer.rows, longer.policy_sha256) == (96, straight.policy_sha256)
    with pytest.raises(RunConflictError, match="--from"):
        train(filled, qed, policy, sources=sources[::-1], resume=short.run_id)
    with pytest.raises(RunConflictError, match="--from"):
        train(filled, qed, policy, resume=short.run_id)
    with pytest.raises(ValueError, match="twice"):
        train(filled, qed, policy, sources=[other.store.path, other.store.path])
    with pytest.raises(ValueError, match="snapshot 3"):
        train(filled, qed, policy, sources=sources, snapshot=3)


def test_relabelling_scores_each_molecule_once_and_stores_its_reward_beside_the_old_one(
    filled: mb.Lab, policy: mb.Policy, qed: mb.Objective, write_scorer: Any, tmp_path: Path
) -> None:
    objective = share_of("N", write_scorer, tmp_path / "calls")
    before = filled.query("SELECT smiles, reward FROM sample_history ORDER BY build_id, row")
    found = train(filled, objective, policy, judging=Judging(relabel="cheap"))
    molecules = set(before.filter(before["reward"].is_not_null())["smiles"].to_list())
    calls = (tmp_path / "calls").read_text().split()
    assert sorted(calls) == sorted(molecules)
    done = found.report.relabelled
    assert (done.rows, done.rewarded, done.molecules) == (80, 80, len(molecules))
    assert done.oracle_calls == len(molecules)
    assert found.rows == 80
    assert filled.query("SELECT smiles, reward FROM sample_history ORDER BY build_id, row").equals(before)
    rewards = filled.query(
        "SELECT smiles, value FROM rewards JOIN samples USING (build_id, row) WHERE objective_sha256 = ?",
        [objective.sha256],
    )
    assert all(value == pytest.approx(text.count("N") / len(text)) for text, value in rewards.iter_rows())
    again = train(filled, objective, policy, judging=Judging(relabel="cheap"))
    assert again.policy_sha256 == found.policy_sha256
    assert (again.report.relabelled.rows, again.report.relabelled.oracle_calls) == (0, 0)
    assert len((tmp_path / "calls").read_text().split()) == len(molecules)


def test_rows_of_another_store_are_relabelled_as_those_of_the_own_are(
    filled: mb.Lab, policy: mb.Policy, write_scorer: Any, empty_store: Path, tmp_path: Path
) -> None:
    objective, judging = share_of("N", write_scorer), Judging(relabel="all")
    tables = filled.query("SELECT count(*) AS n FROM rewards").item()
    with mb.open(shutil.copytree(empty_store, tmp_path / "home")) as home:
        away = train(home, objective, policy, judging=judging, sources=filled.store.path)
        short = train(home, objective, policy, judging=judging, sources=filled.store.path, steps=2)
        longer = train(home, objective, policy, judging=judging, sources=filled.store.path, resume=short.run_id)
        assert longer.policy_sha256 == away.policy_sha256
        assert away.report.relabelled.rewarded == away.rows == 80
        assert short.report.relabelled.oracle_calls == 0
    assert filled.query("SELECT count(*) AS n FROM rewards").item() == tables
    assert train(filled, objective, policy, judging=judging).policy_sha256 == away.policy_sha256


def test_expensive_components_are_computed_only_when_told(
    filled: mb.Lab, policy: mb.Policy, write_scorer: Any, tmp_path: Path
) -> None:
    calls = tmp_path / "calls"
    objective = share_of("N", write_scorer, calls, cost="high")
    known = filled.query("SELECT DISTINCT smiles FROM samples ORDER BY smiles LIMIT 12")["smiles"].to_list()
    filled.score(known, objective)
    cheap = train(filled, objective, policy, judging=Judging(relabel="cheap"), batch_size=4)
    assert len(calls.read_text().split()) == 12
    done = cheap.report.relabelled
    assert (done.oracle_calls, done.left_out) == (0, done.molecules - 12)
    assert 12 <= cheap.rows < 80
    every = train(filled, objective, policy, judging=Judging(relabel="all"))
    assert every.rows == 80
    assert len(calls.read_text().split()) == done.molecules
    drawn = Judging(evaluation=EvaluationPlan(20))
    unscored = train(filled, objective, policy, judging=drawn).report
    assert unscored.policy.quality.mean is None
    assert unscored.policy.novelty is not None
    assert any("share" in note for note in unscored.notes)
    assert len(calls.read_text().split()) == done.molecules


@pytest.mark.parametrize("split", ["scaffold", "run", "random"])
def test_groups_are_held_out_as_a_whole(filled: mb.Lab, policy: mb.Policy, qed: mb.Objective, split: Any) -> None:
    index = filled.store.index(IndexScope(objective_sha256=qed.sha256))
    plan = ValidationPlan(0.2, split=split)
    if split == "scaffold":
        # Chains have no scaffold.
        assert set(scaffolds_of([text for text in index.smiles(np.arange(80)) if text])) == {""}
        with pytest.raises(ValidationError, match="scaffold"):
            split_rows(index, plan, 0)
        return
    parts = split_rows(index, plan, 0)
    assert len(parts.learned) + len(parts.held_out) == len(parts.whole) == 80
    assert len(parts.held_out)
    groups = [
        set(part.run_numbers.tolist() if split == "run" else part.molecules.tolist())
        for part in (parts.learned, parts.held_out)
    ]
    assert not groups[0] & groups[1]
    if split == "random":
        assert len(parts.held_out) <= 16
        assert parts.held_out.row_ids(np.arange(len(parts.held_out))) != split_rows(index, plan, 1).held_out.row_ids(
            np.arange(1)
        )


def test_the_best_policy_on_held_out_rows_is_given_and_a_training_that_gains_nothing_ends(
    filled: mb.Lab, policy: mb.Policy, qed: mb.Objective
) -> None:
    judging = Judging(ValidationPlan(0.25, split="random", every=2, patience=2))
    # The likelihood of a few rows, with large steps: others become less likely soon.
    more: dict[str, Any] = {"loss": "top_share_likelihood", "judging": judging, "where": "reward > 0.1"}
    found = train(filled, qed, policy, steps=60, **more)
    assert found.iterations < 60
    losses = dict(
        filled.query(
            "SELECT iteration, value FROM metrics WHERE run_id = ? AND name = 'validation_loss' ORDER BY ALL",
            [found.run_id],
        ).iter_rows()
    )
    # The policy that training starts from is only compared with.
    best = min(list(losses)[1:], key=lambda iteration: losses[iteration])
    assert found.report.best_iteration == best < found.iterations
    assert found.report.validation_loss == pytest.approx(losses[best])
    row = filled.query("SELECT run_id, iteration, weights_kept FROM lineage WHERE sha256 = ?", [found.policy_sha256])
    assert row.rows() == [(found.run_id, best, True)]
    short = train(filled, qed, policy, steps=best + 1, **more)
    longer = train(filled, qed, policy, steps=60, resume=short.run_id, **more)
    assert (longer.policy_sha256, longer.iterations) == (found.policy_sha256, found.iterations)
    assert filled.policy(found.policy_sha256).kind == "gru"


def test_the_numbers_of_the_report(filled: mb.Lab, policy: mb.Policy, qed: mb.Objective) -> None:
    judging = Judging(ValidationPlan(0.2, split="random"), EvaluationPlan(30, every=2, least_sample_size=1.5))
    found = train(filled, qed, policy, judging=judging)
    sql = "SELECT smiles, reward, event FROM sample_history WHERE reward IS NOT NULL"
    report, rows = found.report, filled.query(f"{sql} AND event <> 'evaluation'").drop("event")
    best = rows.group_by("smiles").max().sort("reward", descending=True)["reward"]
    assert report.data.rows == report.last.rows == 80
    assert report.data.mean == pytest.approx(rows["reward"].mean())
    assert report.data.top_10 == pytest.approx(best.head(10).mean())
    assert report.data.uniqueness == pytest.approx(rows["smiles"].n_unique() / 80)
    assert report.held_out + found.rows == 80

    final = filled.policy(found.policy_sha256)
    assert report.policy is not None
    again = evaluate_policy(
        final,
        mb_scorer(filled, qed),
        [],
        mb_standardisation(),
        draws=30,
        seed=derive_seed(1, "evaluation", found.iterations),
    )
    assert report.policy.molecules == again.molecules
    names = ("data_mean", "last_top_100", "evaluation_mean", "off_policy_effective_sample_size", "validation_loss")
    metrics = filled.query(
        f"SELECT name, iteration, value FROM metrics WHERE run_id = ? AND name IN {names} ORDER BY ALL", [found.run_id]
    )
    stored = {name: value for name, iteration, value in metrics.iter_rows() if iteration == 4}
    assert stored["data_mean"] == pytest.approx(report.data.mean)
    assert stored["evaluation_mean"] == pytest.approx(report.policy.mean_reward)
    size = report.off_policy.effective_sample_size
    assert size is not None
    assert stored["off_policy_effective_sample_size"] == pytest.approx(size)
    evaluated = [row[1] for row in metrics.iter_rows() if row[0] == "evaluation_mean"]
    assert evaluated == [2, 4]


def mb_scorer(lab: mb.Lab, objective: mb.Objective) -> Any:
    from molbuffer.samplers import Scorer

    return Scorer(objective, lab.store)


def mb_standardisation() -> Any:
    from molbuffer.scoring import Standardisation

    return Standardisation(largest_fragment=True)


def test_the_budget_holds_for_all_evaluations_of_a_run(filled: mb.Lab, policy: mb.Policy, qed: mb.Objective) -> None:
    judging = Judging(evaluation=EvaluationPlan(30, every=1, max_oracle_calls=40))
    found = train(filled, qed, policy, judging=judging)
    sql = "SELECT value FROM metrics WHERE run_id = ? AND name = 'evaluation_{}' ORDER BY iteration"
    calls = filled.query(sql.format("oracle_calls"), [found.run_id])["value"].to_list()
    # 30 of the 40 are kept for the end, and are enough for all its draws.
    assert calls[:3] == [10, 0, 0]
    assert found.report.policy.draws == 30
    assert calls[3] == found.report.policy.oracle_calls > 10
    assert not any("max_oracle_calls" in note for note in found.report.notes)
    means = filled.query(sql.format("mean"), [found.run_id])["value"].to_list()
    assert [mean is None for mean in means] == [False, True, True, False]
    short = train(filled, qed, policy, judging=judging, steps=2)
    longer = train(filled, qed, policy, judging=judging, resume=short.run_id)
    assert longer.policy_sha256 == found.policy_sha256


def test_the_policy_beats_the_data_it_learned_from(filled: mb.Lab, policy: mb.Policy, write_scorer: Any) -> None:
    """The reward is the share of C, whose optimum is 1: chains of C alone."""
    objective = share_of("C", write_scorer)
    judging = Judging(evaluation=EvaluationPlan(200), relabel="cheap")
    found = train(filled, objective, policy, steps=60, batch_size=32, loss="advantage_weighted", judging=judging)
    assert found.report.last.mean is not None
    assert found.report.policy is not None
    assert found.report.policy.mean_reward > found.report.last.mean + 0.2


def test_a_training_again_has_the_same_batches(filled: mb.Lab, policy: mb.Policy, qed: mb.Objective) -> None:
    def losses(run_id: str) -> list[tuple[int, float]]:
        sql = "SELECT iteration, value FROM metrics WHERE run_id = ? AND name = 'loss' ORDER BY iteration"
        return filled.query(sql, [run_id]).rows()

    judging = Judging(ValidationPlan(0.2, split="run", every=2))
    first, second = (train(filled, qed, policy, judging=judging, selection="prioritized") for _ in range(2))
    assert losses(first.run_id) == losses(second.run_id)
    assert len(losses(first.run_id)) == 4
    assert first.policy_sha256 == second.policy_sha256


def test_the_rows_are_read_once(filled: mb.Lab, policy: mb.Policy, qed: mb.Objective) -> None:
    pinned = PinnedRows(OfflineRows((RowSource(filled.store),)), filled.store.snapshot(), policy.vocabulary)
    scope = IndexScope(objective_sha256=qed.sha256)
    assert pinned.index(scope) is pinned.index(scope)
    assert offline_training.__doc__


def test_rows_without_a_reward_are_refused_before_a_run_is_recorded(
    filled: mb.Lab, policy: mb.Policy, write_scorer: Any
) -> None:
    runs = filled.query("SELECT run_id FROM runs").height
    with pytest.raises(BatchShortError, match='relabel = "cheap"'):
        train(filled, share_of("N", write_scorer), policy)
    assert filled.query("SELECT run_id FROM runs").height == runs


def test_a_finished_training_is_evaluated_later(filled: mb.Lab, policy: mb.Policy, qed: mb.Objective) -> None:
    found = train(filled, qed, policy)
    assert any(f"--resume {found.run_id[:8]} --draws" in note for note in found.report.notes)
    later = train(filled, qed, policy, resume=found.run_id, judging=Judging(evaluation=EvaluationPlan(12)))
    assert later.policy_sha256 == found.policy_sha256
    assert later.report.policy.draws == 12
    sql = "SELECT name, count(*) AS n FROM metrics WHERE run_id = ? AND iteration = 4 GROUP BY name"
    counted = dict(filled.query(sql, [found.run_id]).iter_rows())
    assert counted["evaluation_mean"] == 1
    assert set(counted.values()) == {1}
    with pytest.raises(RunConflictError, match="relabel"):
        train(filled, qed, policy, resume=found.run_id, judging=Judging(relabel="cheap"))


def test_a_molecule_of_several_sources_counts_once(
    filled: mb.Lab, policy: mb.Policy, write_scorer: Any, empty_store: Path, tmp_path: Path
) -> None:
    filled.store.archive(tmp_path / "archive")
    objective, calls = share_of("N", write_scorer, tmp_path / "calls"), tmp_path / "calls"
    with mb.open(shutil.copytree(empty_store, tmp_path / "home")) as home:
        sources = [filled.store.path, tmp_path / "archive"]
        done = train(home, objective, policy, sources=sources, judging=Judging(relabel="cheap")).report.relabelled
    molecules = set(filled.query("SELECT smiles FROM samples")["smiles"].to_list()) - {None}
    assert done.rows == 160
    assert done.molecules == done.oracle_calls == len(calls.read_text().split())
    assert done.molecules <= len(molecules)


def test_rows_may_come_as_other_smiles(filled: mb.Lab, policy: mb.Policy, qed: mb.Objective) -> None:
    plain = train(filled, qed, policy, steps=2)
    other = train(filled, qed, policy, steps=2, randomise=True)
    assert other.policy_sha256 != plain.policy_sha256
    assert other.policy_sha256 == train(filled, qed, policy, steps=2, randomise=True).policy_sha256
    with pytest.raises(UnsuitableDataError, match="leave randomise out"):
        train(filled, qed, policy, steps=2, randomise=True, loss="ppo")
    with pytest.raises(RunConflictError, match=r"replay\.randomise: it was true, got false"):
        train(filled, qed, policy, steps=2, resume=other.run_id)


def test_a_source_that_is_not_there_is_neither_called_a_store_nor_an_archive(
    filled: mb.Lab, policy: mb.Policy, qed: mb.Objective
) -> None:
    with pytest.raises(StoreNotFoundError, match=r"no store and no archive at .*nosuch"):
        train(filled, qed, policy, sources=["nosuch"])


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: Judging(relabel="x"), "relabel"),  # type: ignore[arg-type]
        (lambda: Judging(validation=0.1), r"ValidationPlan\(share=0.1\)"),  # type: ignore[arg-type]
        (lambda: Judging(evaluation=1000), r"EvaluationPlan\(draws=1000\)"),  # type: ignore[arg-type]
        (lambda: ValidationPlan(1.0), "share"),
        (lambda: ValidationPlan(0.1, split="x"), "split"),  # type: ignore[arg-type]
        (lambda: ValidationPlan(0.1, criterion="x"), "criterion"),  # type: ignore[arg-type]
        (lambda: ValidationPlan(0.1, every=0), "every"),
        (lambda: ValidationPlan(0.1, patience=-1), "patience"),
        (lambda: EvaluationPlan(-1), "draws"),
        (lambda: EvaluationPlan(1.5), "draws"),  # type: ignore[arg-type]
        (lambda: EvaluationPlan(1, max_oracle_calls=0), "max_oracle_calls"),
        (lambda: EvaluationPlan(1, least_sample_size=0.0), "least_sample_size"),
        (lambda: StopSettings(max_oracle_calls=1.5), "max_oracle_calls"),  # type: ignore[arg-type]
        (lambda: StopSettings(max_minutes=0.0), "max_minutes"),
    ],
)
def test_wrong_values_are_refused_by_name(make: Any, error: str) -> None:
    with pytest.raises(TypeError if "Plan" in error else WrongKeyError, match=error):
        make()
