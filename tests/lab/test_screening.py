"""Screening of a run from Python: what is picked, what is stored of it, and that a resumed run screens the same."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import molbuffer as mb
from molbuffer.kinds import PluginError, UnknownKindError
from molbuffer.samplers import encode_rows
from molbuffer.scoring import Prediction
from molbuffer.storage import RunConflictError
from molbuffer.training import FitProgress
from molbuffer.training.errors import UnsuitableDataError

SCREENING = mb.Screening(candidates=8.0, warm_up=8)
HISTORY = """SELECT iteration, event, "row", smiles, rejected_by, predicted_reward, predicted_sd, acquisition, picked_by
    FROM sample_history ORDER BY iteration, event, sampler_order, chunk, "row" """


def trained(
    lab: mb.Lab,
    qed: mb.Objective,
    policy: mb.Policy,
    stop: int | None = None,
    screening: mb.Screening = SCREENING,
    **changes: Any,
) -> str:
    def progress(done: FitProgress) -> None:
        if done.iteration == stop:
            raise KeyboardInterrupt

    runs = lab.runs()["run_id"].to_list()
    with lab.run(
        "screened", objective=qed, policy=policy, seed=3, screening=screening, resume=runs[0] if runs else None
    ) as run:
        run.build(mb.ModelSampler("agent", run.agent, unique="run"), n=12)
        result = run.train(
            batch_size=8,
            iterations=4,
            samplers={"agent": 0.75},
            learner=mb.LearnerSettings(learning_rate=5e-3),
            checkpoint_every=2,
            build_every=2,
            progress=progress,
            **changes,
        )
    return str(result.policy_sha256)


def test_what_is_screened_out_is_stored_with_its_prediction(lab: mb.Lab, policy: mb.Policy, qed: mb.Objective) -> None:
    trained(lab, qed, policy)
    history = lab.query(HISTORY)
    warm_up = history.filter(iteration=0, event="build_buffer").filter(pl.col("rejected_by").is_null())
    assert set(warm_up["picked_by"]) == {"warm_up"}
    live = history.filter(event="sample_batch")
    kept, out = live.filter(pl.col("rejected_by").is_null()), live.filter(rejected_by="screening")
    assert kept.group_by("iteration").len()["len"].to_list() == [6] * 4, "quotas count kept rows"
    assert set(kept["picked_by"]) == {"model", "chance"}
    assert out["picked_by"].null_count() == len(out)
    assert out["predicted_reward"].null_count() == out["predicted_sd"].null_count() == 0
    by_iteration = out.group_by("iteration").len().sort("iteration")["len"].to_list()
    assert len(by_iteration) == 4, "some of each batch are screened out"
    rewards = lab.query("SELECT count(*) FROM sample_history WHERE rejected_by = 'screening' AND reward IS NOT NULL")
    assert rewards.item() == 0
    described = [
        json.loads(text) for text in lab.query("SELECT screening FROM builds ORDER BY iteration, event").to_series()
    ]
    assert [each["scored"] for each in described] == sorted(each["scored"] for each in described)
    metrics = set(lab.query("SELECT DISTINCT name FROM metrics WHERE starts_with(name, 'screen')").to_series())
    assert metrics == {"screened_out", "screening_coverage", "screening_correlation", "screening_error"}


INFLATED = replace(SCREENING, inflate=True)


@pytest.fixture(scope="module")
def whole(
    empty_store: Path, policy: mb.Policy, qed: mb.Objective, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, pl.DataFrame]:
    """The last policy and the history of a run that was never stopped."""
    with mb.open(shutil.copytree(empty_store, tmp_path_factory.mktemp("whole") / "store")) as lab:
        return trained(lab, qed, policy, screening=INFLATED), lab.query(HISTORY)


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_resumed_run_screens_what_it_would_have_screened(
    stop: int, lab: mb.Lab, policy: mb.Policy, qed: mb.Objective, whole: tuple[str, pl.DataFrame]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        trained(lab, qed, policy, stop=stop, screening=INFLATED)
    expected, history = whole
    assert trained(lab, qed, policy, screening=INFLATED) == expected
    assert lab.query(HISTORY).equals(history)


class Repeating(mb.Sampler):
    """Draws chains of carbon: three of four rows are one molecule."""

    kind = "repeating"
    unique = "run"

    def __init__(self, policy: mb.Policy) -> None:
        self.name, self.size, self.policy = "repeating", mb.SamplerSize(), policy
        self.asked: list[int] = []

    def draw(self, n: int, seed: int) -> mb.Draw:
        self.asked.append(n)
        lengths = np.random.default_rng(seed).integers(2, 60, n)
        texts = ["C" * (1 if row % 4 else int(length)) for row, length in enumerate(lengths)]
        return mb.Draw(texts, encode_rows(texts, self.policy.vocabulary))


def test_others_are_drawn_in_the_place_of_repetitions_before_the_model_picks(
    lab: mb.Lab, policy: mb.Policy, qed: mb.Objective
) -> None:
    sampler = Repeating(policy)
    with lab.run("screened", objective=qed, policy=policy, seed=3, screening=SCREENING) as run:
        run.build(mb.ModelSampler("agent", run.agent), n=8)
        run.build(sampler, n=4)
    # A draw of the 32 candidates that are asked for has 9 new molecules.
    first, *further = sampler.asked
    assert first == 32
    assert further and max(further) <= 32 and len(further) <= 3
    said = lab.query("SELECT smiles, predicted_reward, kept FROM sample_history WHERE sampler = 'repeating'")
    judged = said.filter(pl.col("predicted_reward").is_not_null())
    assert len(judged) == judged["smiles"].n_unique()
    assert len(judged) > 18
    assert judged["kept"].sum() == 4
    assert len(said) == sum(sampler.asked), "all that was drawn is in the history"


def test_the_budget_counts_what_is_scored(lab: mb.Lab, policy: mb.Policy, qed: mb.Objective) -> None:
    trained(lab, qed, policy, max_oracle_calls=20)
    assert lab.query("SELECT count(DISTINCT smiles) FROM sample_history WHERE kept").item() == 20
    assert lab.query("SELECT count(DISTINCT smiles) FROM scores").item() == 20
    picked = "SELECT count(*) FROM sample_history WHERE picked_by IS NOT NULL AND NOT kept"
    assert lab.query(picked).item() == 0, "what the budget refused was picked by nothing"


def test_a_model_learns_from_the_scores_of_other_runs(lab: mb.Lab, policy: mb.Policy, qed: mb.Objective) -> None:
    with lab.run("before", objective=qed, policy=policy, seed=1) as before:
        before.build(mb.ModelSampler("agent", before.agent), n=16)
    for number, runs in enumerate(("all", ["own", before.run_id[:8]])):
        screening = mb.Screening(warm_up=4, runs=runs)
        with lab.run("after", objective=qed, policy=policy, seed=2 + number, screening=screening) as run:
            (receipt,) = run.build(mb.ModelSampler("agent", run.agent), n=4)
        assert receipt.drawn >= 16, "four candidates for each"
        said = json.loads(lab.query("SELECT screening FROM builds WHERE run_id = ?", [run.run_id]).item())
        assert said["scored"] >= 8
        assert said["snapshot"] is not None


def test_failed_scores_are_no_data(lab: mb.Lab, policy: mb.Policy) -> None:
    objective = mb.Objective([Short()])
    screening = mb.Screening(warm_up=4)
    with lab.run(
        "failing", objective=objective, policy=policy, seed=1, screening=screening, max_failed_share=1.0
    ) as run:
        run.build(mb.ModelSampler("agent", run.agent), n=24)
        run.build(mb.ModelSampler("again", run.agent), n=4)
    good = lab.query(
        "SELECT count(*) FROM scores WHERE status = 'ok' AND smiles IN (SELECT smiles FROM samples "
        "WHERE build_id IN (SELECT build_id FROM builds WHERE sampler = 'agent'))"
    ).item()
    said = json.loads(lab.query("SELECT screening FROM builds WHERE sampler = 'again'").item())
    assert 4 <= said["scored"] == good < 24


def test_screening_is_compared_when_a_run_is_gone_on_with(lab: mb.Lab, policy: mb.Policy, qed: mb.Objective) -> None:
    given: dict[str, Any] = {"objective": qed, "policy": policy, "seed": 1}
    with lab.run("screened", **given, screening=SCREENING) as run:
        pass
    for other in (None, mb.Screening(warm_up=8)):
        with (
            pytest.raises(RunConflictError, match="began with screening ="),
            lab.run("screened", **given, screening=other, resume=run.run_id),
        ):
            pass
    with lab.run("screened", **given, screening=SCREENING, resume=run.run_id) as again:
        assert again.resumed


def test_screening_refuses_what_it_cannot_go_with(lab: mb.Lab, policy: mb.Policy, qed: mb.Objective) -> None:
    with (
        pytest.raises(ValueError, match="give one of them"),
        lab.run("both", objective=qed, policy=policy, screening=SCREENING, choose="maxmin"),
    ):
        pass
    with lab.run("on policy", objective=qed, policy=policy, seed=1, screening=SCREENING) as run:
        live = mb.ModelSampler("agent", run.agent, size=mb.SamplerSize(p_batch=1.0))
        with pytest.raises(UnsuitableDataError, match="screening keeps only the most promising"):
            run.train(batch_size=4, iterations=1, samplers=[live], loss="reinforce")
    for wrong in (
        {"candidates": 0.5},
        {"explore": 1.5},
        {"warm_up": 0},
        {"model": "gq"},
        {"model": 3},
        {"runs": ()},
        {"runs": 3},
    ):
        with pytest.raises((TypeError, ValueError, UnknownKindError)):
            mb.Screening(**wrong)  # type: ignore[arg-type]
    assert mb.Screening(model="gp", acquisition="ei").acquisition == mb.ExpectedImprovement()  # type: ignore[arg-type]


class Short:
    """The number of characters over 12, of strings of at most 6."""

    name = kind = version = "short"
    cost, bounded, parallel = "low", True, False

    def values(self, molecules: list[str]) -> list[mb.RawScore]:
        return [mb.RawScore(len(text) / 12) if len(text) <= 6 else mb.RawScore(None, "too long") for text in molecules]


class Odd:
    """A surrogate of somebody else."""

    def __init__(self, given: Any) -> None:
        self.given = given

    def fit(self, smiles: Any, values: Any, seed: int) -> Any:
        if isinstance(self.given, Exception):
            raise self.given
        return self

    def predict(self, smiles: Any) -> Any:
        return self.given


@pytest.mark.parametrize(
    "given", [None, Prediction(np.zeros(1), np.zeros(1)), ValueError("singular")], ids=["nothing", "too few", "error"]
)
def test_an_odd_model_is_named(given: Any, lab: mb.Lab, policy: mb.Policy, qed: mb.Objective) -> None:
    screening = mb.Screening(model=Odd(given), warm_up=4)
    with lab.run("odd", objective=qed, policy=policy, seed=1, screening=screening) as run:
        run.build(mb.ModelSampler("agent", run.agent), n=8)
        with pytest.raises(PluginError, match=r"test_screening:Odd"):
            run.build(mb.ModelSampler("other", run.agent), n=4)
