"""R1, R5, R25: scores are looked up before they are computed, and stored whatever becomes of who wanted them."""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from molbuffer.samplers.scores.new_scores import unknown_scores
from molbuffer.samplers.scores.scorer import Scorer
from molbuffer.scoring import Objective, WeightedComponent
from molbuffer.scoring.components import PythonFunction
from molbuffer.scoring.transforms import Linear
from molbuffer.storage import SampleStore
from molbuffer.storage.records import Score, ScoreStatus

SOURCE = """
import time

def count(smiles, log="", seconds=0.0):
    with open(log, "a") as file:
        file.write(smiles + "\\n")
    time.sleep(seconds)
    if "Br" in smiles:
        raise RuntimeError("bromine")
    if "I" in smiles:
        raise ConnectionError("the network is down")
    return len(smiles) / 10
"""
MakeObjective = Callable[..., Objective]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "calls.log").touch()
    return tmp_path / "calls.log"


@pytest.fixture
def make_objective(write_scorer: Callable[[str], str], log: Path) -> MakeObjective:
    module = write_scorer(SOURCE)

    def make(cost: str = "low", seconds: float = 0.0) -> Objective:
        parameters = {"log": str(log), "seconds": seconds}
        component = PythonFunction(f"{module}:count", cost=cost, parameters=parameters, name="count")
        return Objective((WeightedComponent(component),))

    return make


def calls(log: Path) -> Counter[str]:
    """How often each molecule was computed."""
    return Counter(log.read_text().split())


def test_distinct_molecules_are_scored_once_in_order_of_occurrence(make_objective: MakeObjective, log: Path) -> None:
    scored = Scorer(make_objective()).score(["CC", "CO", "CC", "CBr"])
    assert scored.smiles == ["CC", "CO", "CBr"]
    assert calls(log) == {"CC": 1, "CO": 1, "CBr": 1}
    np.testing.assert_allclose(scored.rewards, [0.2, 0.2, np.nan])
    assert [score.status for score in scored.new] == [ScoreStatus.OK, ScoreStatus.OK, ScoreStatus.FAILED]


def test_known_scores_are_not_computed_again(store: SampleStore, make_objective: MakeObjective, log: Path) -> None:
    scorer = Scorer(make_objective(), store)
    store.record_scores(scorer.score(["CC", "CBr"]).new)
    again = Scorer(make_objective(), store).score(["CBr", "CCC", "CC"])
    np.testing.assert_allclose(again.rewards, [np.nan, 0.3, 0.2])
    assert [score.smiles for score in again.new] == ["CCC"]
    assert calls(log) == {"CC": 1, "CBr": 1, "CCC": 1}


def test_r1_expensive_scores_are_stored_without_a_build(
    store: SampleStore, make_objective: MakeObjective, log: Path
) -> None:
    objective = make_objective("high")
    scored = Scorer(objective, store).score(["CC", "CBr"])
    assert not scored.new, "a build has nothing left to commit"
    component = objective.components[0].component
    stored = store.find_scores(component.name, component.version, ["CC", "CBr"])
    assert (stored["CC"].value, stored["CBr"].status) == (0.2, ScoreStatus.FAILED)
    assert "bromine" in (stored["CBr"].error or "")
    Scorer(objective, store).score(["CC", "CBr"])
    assert calls(log) == {"CC": 1, "CBr": 1}
    assert store.claims.claim(component.name, component.version, ["CC", "CBr"], "other", 1.0) == {"CC", "CBr"}


@pytest.mark.parametrize("cost", ["low", "high"])
def test_r27_a_lost_score_is_tried_again_in_the_next_run_only(
    store: SampleStore, make_objective: MakeObjective, log: Path, cost: str
) -> None:
    objective = make_objective(cost)
    for run_id in ("run-1", "run-1", "run-2"):
        scored = Scorer(objective, store, run_id).score(["CI", "CBr"])
        assert {text: error.partition(":")[0] for text, error in scored.errors.items()} == dict.fromkeys(
            ["CI", "CBr"], "count"
        )
        store.record_scores(scored.new, run_id=run_id)
    assert calls(log) == {"CI": 2, "CBr": 1}


@pytest.mark.parametrize(
    ("value", "reward"),
    [(1.0000001, 1.0), (-1e-7, 0.0), (1.05, np.nan), (-0.01, np.nan), (1.00001, np.nan), (17.0, np.nan)],
)
def test_r28_out_of_range_is_failed_with_the_number_and_noise_is_clipped(
    store: SampleStore, write_scorer: Callable[[str], str], value: float, reward: float
) -> None:
    module = write_scorer(f"def score(smiles):\n    return {value!r}\n")
    component = PythonFunction(f"{module}:score", name="raw")
    scored = Scorer(Objective((WeightedComponent(component),)), store).score(["C"])
    np.testing.assert_array_equal(scored.rewards, [reward])
    (score,) = scored.new
    if np.isnan(reward):
        assert (score.status, repr(value) in str(score.error)) == (ScoreStatus.FAILED, True)
    else:
        assert (score.status, score.value) == (ScoreStatus.OK, value)
    # The raw value is a fact all the same: under an objective with a transform for it, it is not computed again.
    store.record_scores(scored.new)
    later = Scorer(Objective((WeightedComponent(component, transform=Linear(0.0, 20.0)),)), store).score(["C"])
    assert not later.new
    np.testing.assert_allclose(later.rewards, [np.clip(value / 20, 0, 1)])


def test_r28_a_component_that_needs_a_transform_is_named_once(
    write_scorer: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    module = write_scorer("def score(smiles):\n    return len(smiles)\n")
    objective = Objective((WeightedComponent(PythonFunction(f"{module}:score", name="length")),))
    for _ in range(2):
        Scorer(objective).score(["C", "CC", "CCC"])
    assert caplog.text.count("'length'") == 1


def test_r1_two_scorers_that_want_one_molecule_compute_it_once(
    store: SampleStore, make_objective: MakeObjective, log: Path
) -> None:
    objective = make_objective("high", seconds=0.2)
    start = threading.Barrier(2)
    rewards: dict[int, list[float]] = {}

    def work(number: int, smiles: list[str]) -> None:
        start.wait()
        rewards[number] = Scorer(objective, store).score(smiles).rewards.tolist()

    wanted = (["CC", "CCC", "CCCC"], ["CCCC", "CCC", "CC"])
    threads = [threading.Thread(target=work, args=each) for each in enumerate(wanted)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(600)
    assert calls(log) == {"CC": 1, "CCC": 1, "CCCC": 1}
    assert rewards == {0: pytest.approx([0.2, 0.3, 0.4]), 1: pytest.approx([0.4, 0.3, 0.2])}


def test_scores_of_builds_made_at_the_same_time_are_stored_once(store: SampleStore) -> None:
    """As if each build had been made after the one before, which had its scores stored."""
    good = {text: Score(text, "dock", "1", 0.5) for text in ("C", "CC", "CCC")}
    failed = {text: Score(text, "dock", "1", None, ScoreStatus.FAILED, "no") for text in good}
    store.record_scores([good["C"], failed["CC"]])
    assert unknown_scores(store, list(good.values()), "run") == [good["CC"], good["CCC"]]
    assert unknown_scores(store, list(failed.values()), "run") == [failed["CCC"]]
    assert unknown_scores(store, [replace(good["C"], version="2")], "run") == [replace(good["C"], version="2")]
