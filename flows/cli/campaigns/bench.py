"""``molbuffer bench``: published benchmarks, run as campaigns of molbuffer."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molbuffer.flows.cli.common.errors import ReportingGroup
from molbuffer.flows.cli.common.notes import note
from molbuffer.flows.cli.common.options import JsonOption, SetOption, file_or_preset
from molbuffer.flows.cli.common.output import as_json, output_kept_for_results, write_text
from molbuffer.flows.cli.common.preparation import checked_settings, overrides_of
from molbuffer.flows.errors import UsageError

if TYPE_CHECKING:
    from molbuffer.flows.settings import Override

app = typer.Typer(cls=ReportingGroup, no_args_is_help=True, help="Run the benchmarks of the field.")


@app.callback()
def _benchmarks() -> None:
    # Without a callback, Typer would make the single command the group itself.
    pass


@app.command(epilog="Example: molbuffer bench pmo --tasks qed,median1 --budget 1000 --jobs 2 --out pmo")
def pmo(
    tasks: Annotated[
        str, typer.Option(metavar="NAMES", help="Tasks, with commas between them, or all, or tuning.")
    ] = "all",
    config: Annotated[
        Path,
        typer.Option(
            "--config",
            metavar="FILE.toml",
            help="The configuration of every campaign, a file or the name of one that comes with molbuffer; the "
            "benchmark sets the objective, the seed and the length.",
            callback=file_or_preset,
        ),
    ] = Path("sample_efficient"),
    seeds: Annotated[str, typer.Option(metavar="NUMBERS", help="Seeds, with commas between them.")] = "0",
    budget: Annotated[int, typer.Option(min=1, metavar="N", help="The oracle calls of a campaign.")] = 10_000,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="The folder of the stores, one for each task and seed.")
    ] = Path("pmo"),
    limit_minutes: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="M",
            help="Interrupt the running campaigns after M minutes; the same command resumes them; default: none.",
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, metavar="N", help="Campaigns side by side, one thread each.")] = 1,
    sets: SetOption = None,
    archives: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Archive the store of each finished run in this folder, with the checksums of all archives in "
            "SHA256SUMS; default: none.",
        ),
    ] = None,
    only_table: Annotated[bool, typer.Option("--table", help="Print the results so far, and run nothing.")] = False,
    json: JsonOption = False,
) -> None:
    """Run campaigns on the tasks of PMO, and print their sample efficiency next to published values.

    The score is the area under the mean reward of the best 10 molecules over the calls, divided by the budget.
    Each task and seed is a run in a store of its own. After any interruption, the same command resumes the runs.
    """
    if not only_table:
        _run(
            tasks=_names(tasks),
            seeds=_numbers(seeds),
            config=config,
            overrides=overrides_of(sets),
            budget=budget,
            out=out,
            limit_minutes=limit_minutes,
            jobs=jobs,
        )
    from molbuffer.flows.tools import archive_runs, bench_table, results_of_folder

    with output_kept_for_results():
        results = results_of_folder(out)
        if archives is not None:
            note(f"checksums: {archive_runs(out, results, archives, note)}")
    write_text(as_json([asdict(each) for each in results]) if json else bench_table(results))


def _run(
    *,
    tasks: list[str],
    seeds: list[int],
    config: Path,
    overrides: list[Override],
    budget: int,
    out: Path,
    limit_minutes: float | None,
    jobs: int,
) -> None:
    from molbuffer.flows.cli.common.interruptions import current_ending

    settings = checked_settings(config, overrides)
    current_ending().say = lambda: note("interrupted, and what is stored is kept; the same command resumes the runs")
    with output_kept_for_results():
        from molbuffer.flows.tools import check_bench_settings, in_order, run_all

        check_bench_settings(settings)
        runs = in_order(tasks, seeds, settings=settings.to_json(), budget=budget, folder=out)
        failed, done = run_all(runs, jobs, note, limit_minutes)
    if failed:
        raise UsageError(f"{len(failed)} of {len(runs)} runs failed: {', '.join(failed)}; the same command tries again")
    if not done:
        note("the time limit is reached; the same command resumes the runs")


def _names(text: str) -> list[str]:
    """Return the names of tasks, each once, in the order of the benchmark."""
    from molbuffer.flows.tools import TUNING_TASKS
    from molbuffer.scoring import NAMED_OBJECTIVES, PMO_PREFIX

    known = [name.removeprefix(PMO_PREFIX) for name in NAMED_OBJECTIVES if name.startswith(PMO_PREFIX)]
    groups = {"all": known, "tuning": list(TUNING_TASKS)}
    wanted = {task for word in text.split(",") for task in groups.get(word.strip(), [word.strip()])}
    if unknown := sorted(wanted - set(known)):
        raise UsageError(f"expected tasks of PMO, got {', '.join(unknown)}; all: {', '.join(known)}")
    return [name for name in known if name in wanted]


def _numbers(text: str) -> list[int]:
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() for word in words):
        raise UsageError(f"expected --seeds to be numbers with commas between them, such as 0,1,2, got {text!r}")
    return list(dict.fromkeys(map(int, words)))
