"""Without a terminal, long work writes a line a minute."""

import pytest

from molbuffer.flows.campaign.progress import ProgressLines, progress_bar
from molbuffer.training.fit.loop import FitProgress


def test_a_line_a_minute_says_how_far_it_is_and_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    clock = [0.0]
    lines = ProgressLines("training", lambda: clock[0])
    # A resumed run begins at its 41st step, and takes 20 s for each.
    for step in range(41, 101):
        clock[0] += 20.0
        lines.report(step, 100, f"loss {step}")
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 20
    assert said[0] == "training: 43/100, 19 min left  loss 43"
    assert said[-1] == "training: 100/100, 0 s left  loss 100"


def test_a_bar_is_for_terminals_only(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("molbuffer.flows.campaign.progress.SECONDS_BETWEEN_LINES", 0.0)
    with progress_bar("training x") as report:
        report(FitProgress(1, 4, {"loss": 2.0, "reward_live": 0.25}))
    assert capsys.readouterr().err == "training x: 1/4, 0 s left  loss 2  reward_live 0.25\n"
