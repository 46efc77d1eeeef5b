"""Progress bars of long work: on a terminal only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from molbuffer.training import FitProgress, PretrainProgress

SHOWN_METRICS = ("loss", "reward_live", "reward_buffer")


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[FitProgress], None]]:
    """Show a bar for training with its main metrics; return the function that moves it."""
    with _bar(title) as move:

        def report(progress: FitProgress) -> None:
            shown = ((name, progress.metrics.get(name)) for name in SHOWN_METRICS)
            metrics = "  ".join(f"{name} {value:.3g}" for name, value in shown if value is not None)
            move(progress.iteration, progress.iterations, metrics)

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
def _bar(title: str) -> Iterator[Callable[[int, int, str], None]]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[metrics]}"),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=None, metrics="")
        yield lambda done, total, metrics: bar.update(task, completed=done, total=total, metrics=metrics)
