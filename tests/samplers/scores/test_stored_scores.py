"""R5, R27: stored scores are compared with new ones, and those that failed are computed again on request."""

from collections.abc import Callable
from pathlib import Path

import pytest

from molbuffer.samplers import Scorer, check_stored_scores, score_again
from molbuffer.scoring import Objective, StaleScoresError, WeightedComponent
from molbuffer.scoring.components import QED, PythonFunction
from molbuffer.storage import SampleStore
from molbuffer.storage.records import Score, ScoreStatus

SOURCE = """
import json
from pathlib import Path

def score(smiles, folder="", **_):
    weight, down = json.loads(Path(folder, "model.json").read_text())
    if smiles in down:
        raise (OSError if down[smiles] == "lost" else ValueError)(smiles)
    return weight * len(smiles)
"""
MOLECULES = ["C" * n for n in range(1, 8)]


class Model:
    """A scoring function whose weight, and the molecules that it fails for, are in a file that its source does not
    show.
    """

    def __init__(self, folder: Path, module: str) -> None:
        self.folder, self.module = folder, module
        self.train(0.1)

    def train(self, weight: float, **down: str) -> None:
        (self.folder / "model.json").write_text(f"[{weight}, {str(down).replace(chr(39), chr(34))}]")

    def objective(self, **named: object) -> Objective:
        parameters = {"folder": str(self.folder)}
        component = PythonFunction(f"{self.module}:score", parameters=parameters, name="model", **named)
        return Objective((WeightedComponent(component),))


@pytest.fixture
def model(tmp_path: Path, write_scorer: Callable[[str], str]) -> Model:
    return Model(tmp_path, write_scorer(SOURCE))


def test_a_model_that_was_trained_again_is_noticed(store: SampleStore, model: Model) -> None:
    objective = model.objective()
    store.record_scores(Scorer(objective, store).score(MOLECULES).new)
    check_stored_scores(objective, store)
    model.train(0.1000001)
    check_stored_scores(objective, store)
    for change in ({"weight": 0.101}, {"weight": 0.1} | dict.fromkeys(MOLECULES, "failed")):
        model.train(**change)
        with pytest.raises(StaleScoresError) as raised:
            check_stored_scores(objective, store)
        assert "'model'" in str(raised.value)
        # Those of another version are not compared, nor are dear ones, or those that vary by nature.
        check_stored_scores(model.objective(revision="2"), store)
        check_stored_scores(model.objective(cost="high"), store)
        check_stored_scores(model.objective(deterministic=False), store)
    model.train(0.1, **dict.fromkeys(MOLECULES, "lost"))
    check_stored_scores(objective, store)


def test_scores_of_other_versions_only_are_reported(
    store: SampleStore, model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    objective = model.objective()
    store.record_scores(Scorer(objective, store).score(MOLECULES).new)
    check_stored_scores(objective, store)
    assert not caplog.records
    check_stored_scores(model.objective(revision="2", cost="high"), store)
    assert (caplog.text.count("'model'"), str(len(MOLECULES)) in caplog.text) == (1, True)


def test_a_component_of_ours_is_compared_too(store: SampleStore) -> None:
    qed = QED()
    store.record_scores([Score("CCO", qed.name, qed.version, 0.9)])
    with pytest.raises(StaleScoresError):
        check_stored_scores(Objective((WeightedComponent(qed),)), store)


@pytest.mark.parametrize("cost", ["low", "high"])
def test_failed_scores_are_computed_again_and_good_ones_are_not(store: SampleStore, model: Model, cost: str) -> None:
    objective = model.objective(cost=cost)
    component = objective.components[0].component
    model.train(0.1, CC="failed", CCC="lost")
    store.record_scores(Scorer(objective, store, "run-1").score(MOLECULES).new, run_id="run-1")
    model.train(0.2)

    def again(run_id: str, *statuses: ScoreStatus) -> tuple[int, int]:
        done = score_again(Scorer(objective, store, run_id), run_id, statuses=statuses)
        return done.tried, done.scored

    assert again("run-2", ScoreStatus.LOST) == (1, 1)
    assert again("run-3", ScoreStatus.LOST) == (0, 0)
    assert again("run-4", ScoreStatus.LOST, ScoreStatus.FAILED) == (1, 1)
    found = store.find_scores("model", component.version, MOLECULES)
    assert {text: score.value for text, score in found.items()} == {
        text: pytest.approx((0.2 if text in ("CC", "CCC") else 0.1) * len(text)) for text in MOLECULES
    }
