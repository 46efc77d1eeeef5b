"""A training whose steps take the states that its policy drew by has the weights of one that computes them again."""

from typing import Any

import pytest

from molbuffer.samplers.models import DrawnStates
from molbuffer.training.fit import prior_likelihoods
from molbuffer.training.fit.loop import FitProgress


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each step, whether it took states that were kept."""
    steps: list[bool] = []
    of = DrawnStates.of

    def noted(states: DrawnStates, *arguments: Any) -> Any:
        found = of(states, *arguments)
        steps.append(found is not None)
        return found

    monkeypatch.setattr(DrawnStates, "of", noted)
    return steps


def weights_after(lab: Any, run_id: str, **changes: Any) -> str:
    training = lab.adapted(run_id=run_id, batch_size=12, **changes).start()
    versions: list[str] = []

    def progress(done: FitProgress) -> None:
        versions.append(training.learner.policy().sha256)

    training.fit(progress=progress)
    return " ".join(versions)


def test_the_weights_are_the_same(lab: Any, used: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prior_likelihoods, "rows_are_independent", lambda model, n: True)
    found = weights_after(lab, "kept", p_batch=1.0)
    # The first batch is seen before anything is kept.
    assert used == [False] + 5 * [True]
    monkeypatch.setattr(prior_likelihoods, "rows_are_independent", lambda model, n: False)
    assert found == weights_after(lab, "computed", p_batch=1.0)
    assert used[6:] == 6 * [False]


def test_nothing_is_kept_for_batches_with_stored_rows(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    draws: list[object] = []
    begin = DrawnStates.begin

    def noted(states: DrawnStates, *arguments: Any) -> Any:
        draws.append(begin(states, *arguments))
        return draws[-1]

    monkeypatch.setattr(DrawnStates, "begin", noted)
    weights_after(lab, "mixed", p_batch=0.5)
    assert draws and not any(draws)
