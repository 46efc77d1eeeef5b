"""Messages of a command about its run: that it has begun, how to resume it, and how to extend it."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from molbuffer.flows.cli.common.interruptions import current_ending, say_nothing_ran, signal_of
from molbuffer.flows.cli.common.notes import note

if TYPE_CHECKING:
    from molbuffer.storage import SampleStore

_LOG_OF_RUNS = "molbuffer.storage.runs"


@contextmanager
def told_how_to_go_on(
    store: Path, resumable: bool, run_id: str | None = None, *, longer: bool = False
) -> Iterator[None]:
    """Write messages about a run: its id when it begins, how to resume it after a signal or an error, and how to extend
    it at its end.

    There is no message before the run is recorded, since it cannot be resumed yet.

    Args:
        store: the folder of the store, which need not exist.
        resumable: whether the command has ``--resume``.
        run_id: the run; None if the command does not know it.
        longer: whether the command has ``--iterations``.
    """
    ending = current_ending()
    ending.say = lambda: _say_run(store, resumable, run_id)
    with _told_of_the_start(run_id) as start:
        try:
            yield
        except Exception as error:
            # ``ending.say`` stays as it is, since the error is reported later.
            if run_id is not None and start.begun and signal_of(error) is None:
                advice = f"; go on with:\n  {_command(run_id)}" if _can_go_on(error) else ""
                note(f"run {run_id} failed, and what it stored is kept{advice}")
            raise
    ending.say = say_nothing_ran
    if run_id is not None:
        note(f"run {run_id} is finished{_how_to_extend(run_id, start.ended) if longer else ''}")


def _how_to_extend(run_id: str, ended: str | None) -> str:
    if ended is None:
        return f"; --resume {run_id[:8]} --iterations N extends it"
    return (
        f", since it has come to {ended}; --resume {run_id[:8]} goes on with it once the key that ended it is raised, "
        "as by --set campaign.max_oracle_calls=N, max_minutes or patience"
    )


class _Start(logging.Handler):
    """A log handler that writes a message when the store has recorded a run, and notes why the run ends early."""

    def __init__(self, run_id: str | None) -> None:
        super().__init__(logging.INFO)
        self._run_id = run_id
        self.begun = False
        self.ended: str | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if isinstance(record.args, tuple) and record.msg.startswith("run %s has ended early") and self._run_id:
            self.ended = str(record.args[-1]) if record.args[0] == self._run_id else self.ended
        if not self.begun and self._run_id is not None and self._run_id in map(str, record.args or ()):
            self.begun = True
            note(f"run {self._run_id}; should it end early, --resume {self._run_id[:8]} goes on with it")


@contextmanager
def _told_of_the_start(run_id: str | None) -> Iterator[_Start]:
    """Install the handler on the log of the store's runs."""
    logger, start = logging.getLogger(_LOG_OF_RUNS), _Start(run_id)
    level, propagate = logger.level, logger.propagate
    logger.addHandler(start)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield start
    finally:
        logger.removeHandler(start)
        logger.setLevel(level)
        logger.propagate = propagate


_FINAL = (
    ("molbuffer.lab.errors", "EmptyBuildError"),
    ("molbuffer.samplers.errors", "LatentsError"),
    ("molbuffer.training.errors", "AgentMismatchError"),
    ("molbuffer.training.errors", "TooFewRowsError"),
)
"""Errors that the same command would raise again: a build kept nothing, policies do not fit each other or a sampler,
or there are too few stored rows. An error can only come from a package that has been imported."""


def _can_go_on(error: BaseException) -> bool:
    """Return whether a run that ended with an error can be resumed."""
    final = ((sys.modules.get(module), name) for module, name in _FINAL)
    return not isinstance(error, tuple(getattr(module, name) for module, name in final if module is not None))


def _say_run(store: Path, resumable: bool, run_id: str | None) -> None:
    interrupted, known = [], False
    # The import takes a second, which a command without a store does not have to wait.
    if (store / "store.toml").exists():
        from molbuffer.storage import SampleStore, StoreError

        try:
            with SampleStore.open(store) as opened:
                interrupted = opened.interrupt_runs()
                known = not interrupted and run_id is not None and _is_known(opened, run_id)
        except StoreError as error:
            note(f"interrupted; the store cannot be read to find the run: {error}")
            return
    if known and run_id is not None:
        note(f"interrupted before run {run_id} was resumed: it is unchanged; go on with:\n  {_command(run_id)}")
        return
    if not interrupted:
        note("interrupted before a run began: there is nothing to resume")
        return
    runs = f"run {', '.join(interrupted)} is interrupted, and what it stored is kept"
    note(f"{runs}; go on with:\n  {_command(interrupted[-1])}" if resumable else f"{runs}; run the command again")


def _is_known(store: SampleStore, run_id: str) -> bool:
    from molbuffer.storage import UnknownRunError

    try:
        return store.run(run_id).run_id == run_id
    except UnknownRunError:
        return False


def _command(run_id: str) -> str:
    """Return the command line that resumes a run."""
    words = [Path(sys.argv[0]).name, *sys.argv[1:]]
    # The command of a resumed run has the option already.
    return shlex.join(
        words if any(word.split("=")[0] == "--resume" for word in words) else [*words, "--resume", run_id]
    )
