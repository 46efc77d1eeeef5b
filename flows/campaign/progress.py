"""The progress of long work: a bar on a terminal, and elsewhere, as in the log of a batch job, one line a minute."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from molbuffer.lab import BacklogProgress
from molbuffer.training import FitProgress, PretrainProgress

SECONDS_BETWEEN_LINES = 60.0
SHOWN_METRICS = ("loss", "reward_live", "reward_buffer")


Watch = Callable[[FitProgress], None]
"""A function that is called after each iteration of a training."""


@contextmanager
def progress_bar(title: str, watch: Watch | None = None) -> Iterator[Watch]:
    """Show a bar for training with its main metrics; return the function that moves it and calls ``watch``."""
    with _bar(title) as move:

        def report(progress: FitProgress) -> None:
            shown = ((name, progress.metrics.get(name)) for name in SHOWN_METRICS)
            metrics = "  ".join(f"{name} {value:.3g}" for name, value in shown if value is not None)
            move(progress.iteration, progress.iterations, metrics)
            if watch is not None:
                watch(progress)

        yield report


@contextmanager
def step_bar(title: str) -> Iterator[Callable[[PretrainProgress], None]]:
    """Show a bar for pretraining with the losses in nats per molecule; return the function that moves it."""
    with _bar(title) as move:
        validation = ""

        def report(progress: PretrainProgress) -> None:
            nonlocal validation
            if progress.validation_loss is not None:
                validation = f"  held out {progress.validation_loss:.2f}"
            move(progress.step, progress.steps, f"loss {progress.loss:.1f}{validation}")

        yield report


@contextmanager
def backlog_bar(title: str) -> Iterator[Callable[[BacklogProgress], None]]:
    """Show a bar for the scoring of the backlog; return the function that moves it."""
    with _bar(title) as move:

        def report(done: BacklogProgress) -> None:
            settled = done.completed + done.failed
            told = [f"{name} {count}" for name, count in (("failed", done.failed), ("lost", done.lost)) if count]
            move(settled, settled + done.left, "  ".join([f"scores {done.computed}", *told]))

        yield report


class ProgressLines:
    """The progress of work as lines with the time that is left, at most one a minute."""

    def __init__(self, title: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._title, self._clock = title, clock
        self._began = self._said = clock()
        self._first: int | None = None

    def report(self, done: int, total: int, metrics: str) -> None:
        """Write a line to standard error if it is time for one.

        Args:
            done: the number of steps done, including those before the run was resumed.
            total: the number of all steps.
            metrics: a text with metrics, appended to the line.
        """
        now = self._clock()
        # The speed is computed from the steps of this process: earlier steps took a time that is not known here.
        self._first = done - 1 if self._first is None else self._first
        if now - self._said < SECONDS_BETWEEN_LINES:
            return
        self._said = now
        left = (now - self._began) / max(1, done - self._first) * (total - done)
        sys.stderr.write(f"{self._title}: {done}/{total}, {_duration(left)} left  {metrics}\n")
        sys.stderr.flush()


def _duration(seconds: float) -> str:
    """Return a duration in a suitable unit, such as 40 s, 12 min or 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@contextmanager
def _bar(title: str) -> Iterator[Callable[[int, int, str], None]]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[metrics]}"),
    )
    console = Console(stderr=True)
    if not console.is_terminal:
        yield ProgressLines(title).report
        return
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(title, total=None, metrics="")
        yield lambda done, total, metrics: bar.update(task, completed=done, total=total, metrics=metrics)
