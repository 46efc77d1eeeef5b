"""What a command says of its run, which may have begun or not when an error or a signal ends the command."""

from pathlib import Path

import pytest

from molbuffer.flows.cli.common.interruptions import Ending, current_ending
from molbuffer.flows.cli.common.run_notes import told_how_to_go_on
from molbuffer.lab.errors import EmptyBuildError, FailedScoresError
from molbuffer.storage import RunConflictError, SampleStore
from molbuffer.storage.records import Run, RunKind

RUN = "ab" * 16
BEGUN = f"run {RUN}; should it end early, --resume abababab goes on with it"
FAILED = f"run {RUN} failed, and what it stored is kept"
GO_ON = "; go on with:"


@pytest.fixture
def store(tmp_path: Path) -> SampleStore:
    return SampleStore.create(tmp_path / "lab")


def run(store: SampleStore, error: Exception | None = None) -> None:
    """A command with a run that begins, and ends in an error if one is given."""
    recorded = store.recorded_run(Run(RUN, "a run", RunKind.BUILD, "{}", 0))
    with told_how_to_go_on(store.path, True, RUN, longer=True), recorded:
        if error is not None:
            raise error


def test_a_run_is_named_when_it_begins_and_when_it_ends(store: SampleStore, capsys: pytest.CaptureFixture[str]) -> None:
    run(store)
    assert capsys.readouterr().err.splitlines() == [
        BEGUN,
        f"run {RUN} is finished; --resume abababab --iterations N extends it",
    ]


def test_a_run_that_a_budget_has_ended_is_not_extended_by_iterations(
    store: SampleStore, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded = store.recorded_run(Run(RUN, "a run", RunKind.BUILD, "{}", 0))
    with told_how_to_go_on(store.path, True, RUN, longer=True), recorded:
        store.note_ending(RUN, "77 oracle calls")
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(f"run {RUN} is finished, since it has come to 77 oracle calls; --resume abababab goes on")
    assert "campaign.max_oracle_calls=N" in said and "--iterations" not in said


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FailedScoresError("many", 3, 4, "e"), FAILED + GO_ON),
        # What was built is built: to resume it would end in the same way.
        (EmptyBuildError("none is kept"), FAILED),
    ],
)
def test_an_error_is_followed_by_how_to_go_on_where_that_works(
    store: SampleStore, capsys: pytest.CaptureFixture[str], error: Exception, said: str
) -> None:
    with pytest.raises(type(error)):
        run(store, error)
    assert capsys.readouterr().err.splitlines()[:2] == [BEGUN, said]


@pytest.mark.parametrize("finished", [False, True])
def test_nothing_is_said_of_a_run_that_has_not_begun(
    store: SampleStore, capsys: pytest.CaptureFixture[str], finished: bool
) -> None:
    if finished:
        run(store)
        capsys.readouterr()
    with pytest.raises(RunConflictError), told_how_to_go_on(store.path, True, RUN):
        raise RunConflictError("the source has changed")
    assert capsys.readouterr().err == ""


def test_a_signal_before_a_run_begins_is_told_in_one_line(
    store: SampleStore, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ending = Ending()
    monkeypatch.setattr("molbuffer.flows.cli.common.run_notes.current_ending", lambda: ending)
    assert current_ending() is not ending
    said = []
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt), told_how_to_go_on(store.path, True, RUN):
            raise KeyboardInterrupt
        ending.say()
        said.append(capsys.readouterr().err)
        store.start_run(Run(RUN, "a run", RunKind.BUILD, "{}", 0))
        store.interrupt_runs()
        # Another command, which does not get as far as to go on with it.
        monkeypatch.setattr(SampleStore, "interrupt_runs", lambda _: [])
    assert said[0] == "interrupted before a run began: there is nothing to resume\n"
    assert said[1].startswith(f"interrupted before run {RUN} was resumed: it is unchanged; go on with:\n  ")
