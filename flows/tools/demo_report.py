"""The demonstration's summary on the terminal."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from molbuffer.flows.tools.demo import COMPARED_ITERATIONS, OBJECTIVE, DemoReport, PolicyResult

SAMPLER_FIGURES = ("drawn", "kept", "valid", "diversity", "duplicates", "new", "rewards", "shortfall", "seconds")


def print_report(report: DemoReport, console: Console) -> None:
    """Prints what was stored, what was gained, the samplers' metrics, the best molecules, and what to try next."""
    console.print(f"\n[bold]Objective[/bold]: {OBJECTIVE}")
    console.print(f"[bold]Stored[/bold]: {report.rows} rows ({report.kept} kept), {report.scores} scores")
    console.print(
        f"[bold]Mean reward of live samples[/bold]: {report.first_reward:.3f} in the first {COMPARED_ITERATIONS} "
        f"iterations, {report.last_reward:.3f} in the last {COMPARED_ITERATIONS}"
    )
    console.print(_policies(report.policies))
    console.print(_samplers(report))
    console.print(_best(report))
    _next_steps(report, console)


def _policies(results: Iterable[PolicyResult]) -> Table:
    table = Table("policy", "mean reward", "gain (95 %)", "validity", "uniqueness", "sha256", title_justify="left")
    for result in results:
        draws = len(result.evaluation.rewards)
        table.title = f"{draws} fresh draws of each policy (a useless draw counts as reward 0)"
        evaluation = result.evaluation
        table.add_row(
            result.name,
            f"{evaluation.mean_reward:.3f}",
            "" if result.gain is None else f"{result.gain[0]:+.2f} to {result.gain[1]:+.2f}",
            f"{evaluation.validity:.3f}",
            "" if evaluation.uniqueness is None else f"{evaluation.uniqueness:.3f}",
            result.sha256[:8],
        )
    return table


def _samplers(report: DemoReport) -> Table:
    rows = report.samplers.rows(named=True)
    headings = [f"{row['sampler']}, {row['event']}" for row in rows]
    table = Table("mean of each build", *headings, title="Metrics of the samplers", title_justify="left")
    for name in SAMPLER_FIGURES:
        table.add_row(name, *("" if row.get(name) is None else f"{row[name]:.3g}" for row in rows))
    return table


def _best(report: DemoReport) -> Table:
    table = Table(
        "reward", "iteration", title="The ten best molecules, and when they were first drawn", title_justify="left"
    )
    table.add_column("molecule", overflow="fold")
    for smiles, reward, iteration in report.best.iter_rows():
        table.add_row(f"{reward:.3f}", str(iteration), smiles)
    return table


def _next_steps(report: DemoReport, console: Console) -> None:
    # `make demo` runs the command of an environment that is not active in the user's shell.
    program = "molbuffer" if shutil.which("molbuffer") else shlex.quote(sys.argv[0])
    store = shlex.quote(str(report.store))
    online = report.policies[1].sha256[:12]
    console.print(f"\n[bold]The store[/bold]: {report.store}\n[bold]Try next[/bold]:")
    per_iteration = "SELECT iteration, avg(reward) FROM sample_history GROUP BY iteration ORDER BY iteration"
    for command in ("top", f'query "{per_iteration}"', f"sample {online} -n 20"):
        console.print(f"  {program} {command} --store {store}", soft_wrap=True, markup=False, highlight=False)
