"""The table of the benchmark in Markdown: a row for each task, tuning tasks first, and the sums."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence

from molbuffer.flows.tools.pmo.published import REINVENT, TUNING_TASKS
from molbuffer.flows.tools.pmo.results import BenchResult

PUBLISHED_BUDGET = 10_000

_COLUMNS: tuple[tuple[str, Callable[[BenchResult], float | None], str], ...] = (
    ("AUC top-1", lambda each: each.auc_top_1, ".3f"),
    ("AUC top-100", lambda each: each.auc_top_100, ".3f"),
    ("top-10", lambda each: each.top_10, ".3f"),
    ("calls", lambda each: float(each.calls), ",.0f"),
    ("validity", lambda each: each.validity, ".3f"),
    ("SA score", lambda each: each.sa_score, ".2f"),
    ("alerts", lambda each: each.alerts, ".2f"),
    ("unlikely", lambda each: each.unlikely, ".2f"),
    ("diversity", lambda each: each.diversity, ".2f"),
    ("minutes", lambda each: each.minutes, ".1f"),
)
"""The columns after the AUC top-10: title, value of a result, and format. The table shows means over seeds."""


def bench_table(results: Sequence[BenchResult]) -> str:
    """Return the results as Markdown, with a table for each budget and a row for each task over all seeds.

    SA score, alerts (PAINS, Glaxo, SureChEMBL), unlikely groups and diversity are those of the best 100 molecules. An
    unfinished run counts as if it ended now, and is marked. The published values are for 10,000 calls.
    """
    if not results:
        return "no runs yet"
    budgets = sorted({each.budget for each in results}, reverse=True)
    return "\n\n".join(_of_budget([each for each in results if each.budget == budget], budget) for budget in budgets)


def _of_budget(results: Sequence[BenchResult], budget: int) -> str:
    titles = [title for title, _, _ in _COLUMNS]
    head = ["task", "REINVENT", f"AUC top-10 of {budget:,}", *titles, "seeds"]
    lines = [f"| {' | '.join(head)} |", f"| --- |{' ---: |' * (len(head) - 1)}"]
    tuned = [each for each in results if each.task in TUNING_TASKS]
    others = [each for each in results if each.task not in TUNING_TASKS]
    for name, group in (("tuning tasks", tuned), ("other tasks", others)):
        if group:
            lines += [*_rows(group, budget), _sum(group, budget, f"**sum of {_number(group)} {name}**", len(titles))]
    if tuned and others:
        lines.append(_sum(results, budget, f"**sum of all {_number(results)}**", len(titles)))
    return "\n".join(lines)


def _number(results: Sequence[BenchResult]) -> int:
    return len({each.task for each in results})


def _by_task(results: Sequence[BenchResult]) -> dict[str, list[BenchResult]]:
    return {task: [each for each in results if each.task == task] for task in sorted({each.task for each in results})}


def _rows(results: Sequence[BenchResult], budget: int) -> Iterator[str]:
    for task, same in _by_task(results).items():
        areas = [each.auc_top_10 for each in same]
        spread = f" ± {statistics.stdev(areas):.3f}" if len(areas) > 1 else ""
        mark = "" if all(each.ended for each in same) else " (not at its end)"
        cells = [_mean(same, value, form) for _, value, form in _COLUMNS]
        first = [task, _published([task], budget), f"{statistics.fmean(areas):.3f}{spread}{mark}"]
        yield f"| {' | '.join([*first, *cells, str(len(same))])} |"


def _mean(same: Sequence[BenchResult], value: Callable[[BenchResult], float | None], form: str) -> str:
    known = [found for each in same if (found := value(each)) is not None]
    return format(statistics.fmean(known), form) if known else ""


def _sum(results: Sequence[BenchResult], budget: int, title: str, blank: int) -> str:
    areas = [statistics.fmean(each.auc_top_10 for each in same) for same in _by_task(results).values()]
    published = _published(list(_by_task(results)), budget)
    return f"| {' | '.join([title, published, f'**{sum(areas):.3f}**', *[''] * (blank + 1)])} |"


def _published(tasks: Sequence[str], budget: int) -> str:
    known = [REINVENT[task] for task in tasks if task in REINVENT]
    return f"{sum(known):.3f}" if budget == PUBLISHED_BUDGET and len(known) == len(tasks) else ""
