"""The comparison of runs, and the live view of one run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from molbuffer.pages.charts import Chart, calls_chart, metric_chart, outcomes_chart, reward_chart
from molbuffer.pages.explorer import html
from molbuffer.pages.facts import (
    REWARDS,
    RunFacts,
    Scope,
    funnel_of,
    funnel_over_time,
    learning_curve,
    list_run_facts,
    rewards_by_calls,
)
from molbuffer.pages.report import compare_runs

MOST_RUNS = 8
_CHANGED = "last change (UTC)"
"""The title of a time; an age would not advance while the store does not change."""
MOST_DIFFERENCES = 60


def comparison(scope: Scope) -> str:
    """Return a comparison of runs as HTML: a table of their results, and a table of the settings that differ."""
    found = compare_runs(scope)
    labels = [run.label for run in found.runs]
    rows = [(title, *map(html.plain, values)) for title, values in found.rows.items()]
    parts = [html.note(found.note)] if found.note else []
    parts.append(html.table("Results of the runs", ("", *labels), rows, whole=True))
    listed = list(found.differences.items())
    caption = "Settings that differ"
    if len(listed) > MOST_DIFFERENCES:
        caption += f", {MOST_DIFFERENCES} of {len(listed)}"
    settings = [(key, *map(html.plain, values)) for key, values in listed[:MOST_DIFFERENCES]]
    if settings:
        parts.append(html.table(caption, ("setting", *labels), settings, whole=True))
    else:
        parts.append(html.note("No setting of these runs differs."))
    return html.block(*parts)


def comparison_charts(scope: Scope) -> list[Chart]:
    """Return charts that overlay runs of one objective; none for runs of several objectives."""
    runs = list_run_facts(scope)
    groups = {run.run_id: run.label for run in runs}
    objectives = {run.objective_sha256 for run in runs}
    charts = [reward_chart(learning_curve(scope, list(REWARDS)), groups, REWARDS)] if len(objectives) == 1 else []
    only = objectives.pop() if len(objectives) == 1 else None
    if only is not None:
        charts.append(calls_chart(rewards_by_calls(scope, only), groups))
    return [chart for chart in charts if chart is not None]


def live_status(scope: Scope) -> str:
    """Return the state of the first run of a scope as HTML: its status, totals and speed, and outcomes of its rows."""
    runs = list_run_facts(scope)
    if not runs:
        return html.block(html.note("The store has no run yet."))
    run = runs[0]
    detail = html.note(run.detail) if run.detail else ""
    return html.block(html.numbers(_offline(scope, run) if _only_learns(run) else _drawing(scope, run)), detail)


def draws_nothing(scope: Scope) -> str:
    """Return a note that the first run of a scope draws no molecules; empty if it draws some."""
    runs = list_run_facts(scope)
    if not runs or not _only_learns(runs[0]):
        return ""
    return html.block(html.note("This run draws no molecules: it learns from rows that the store has."))


def _only_learns(run: RunFacts) -> bool:
    """Return whether a run learns from stored rows alone, so that it has no molecules of its own."""
    return run.kind == "offline" and not run.drawn


def _offline(scope: Scope, run: RunFacts) -> dict[str, Any]:
    curve = learning_curve(scope, ["reward_buffer", "loss"]).sort("iteration")
    last = {name: curve.filter(name=name)["value"].to_list()[-1:] for name in ("reward_buffer", "loss")}
    return {
        "status": run.status,
        "iterations": _of(run.iterations, run.setting("offline", "steps")),
        "reward of its batch": next(iter(last["reward_buffer"]), None),
        "loss": next(iter(last["loss"]), None),
        _CHANGED: f"{run.changed:%H:%M:%S, %d %b}",
    }


def _drawing(scope: Scope, run: RunFacts) -> dict[str, Any]:
    outcomes = funnel_of(funnel_over_time(scope, bins=1))
    wanted = run.setting("campaign", "iterations") if run.kind == "train" else None
    return {
        "status": run.status,
        "iterations": _of(run.iterations, wanted),
        "oracle calls": None if run.oracle_calls is None else _of(run.oracle_calls, run.budget),
        "drawn": outcomes.drawn,
        "kept": outcomes.kept,
        "rewarded": outcomes.rewarded,
        "failed scores": outcomes.failed,
        "mean reward": run.mean_reward,
        "rows a second": run.drawn / run.seconds if run.seconds > 0 else None,
        _CHANGED: f"{run.changed:%H:%M:%S, %d %b}",
    }


def live_charts(scope: Scope) -> list[Chart]:
    """Return the charts of a live run: rewards and loss over iterations, and outcomes of its rows."""
    groups = {run.run_id: run.label for run in list_run_facts(scope)}
    curve = learning_curve(scope, [*REWARDS, "loss"])
    charts: Sequence[Chart | None] = [
        reward_chart(curve, groups, REWARDS),
        metric_chart(curve, groups, "loss", "Loss", "loss", zero=False),
        outcomes_chart(funnel_over_time(scope)),
    ]
    return [chart for chart in charts if chart is not None]


def _of(done: int, wanted: Any) -> str:
    """Return a count, with the number that it is to reach if that is known."""
    return f"{done:,} of {wanted:,}" if isinstance(wanted, int) and wanted > 0 else f"{done:,}"
