"""Runs: beside each other, and one of them as it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from molbuffer.pages.charts.chart import Chart
from molbuffer.pages.charts.learning import calls_chart, reward_chart
from molbuffer.pages.charts.over_time import outcomes_chart
from molbuffer.pages.explorer import html
from molbuffer.pages.facts.funnel import funnel_of, funnel_over_time
from molbuffer.pages.facts.learning import learning_curve, rewards_by_calls
from molbuffer.pages.facts.runs import RunFacts, list_run_facts
from molbuffer.pages.facts.scope import Scope
from molbuffer.pages.report.comparison import compare_runs

REWARDS = {"reward_live": "live", "reward_buffer": "stored"}
MOST_RUNS = 8
MOST_DIFFERENCES = 60


def comparison(scope: Scope) -> str:
    """Return runs beside each other: what they came to, and the settings that differ."""
    found = compare_runs(scope)
    labels = [run.label for run in found.runs]
    rows = [(title, *map(html.plain, values)) for title, values in found.rows.items()]
    parts = [html.note(found.note)] if found.note else []
    parts.append(html.table("What the runs came to", ("", *labels), rows))
    listed = list(found.differences.items())
    caption = "Settings that differ"
    if len(listed) > MOST_DIFFERENCES:
        caption += f", {MOST_DIFFERENCES} of {len(listed)}"
    settings = [(key, *values) for key, values in listed[:MOST_DIFFERENCES]]
    parts.append(html.table(caption, ("setting", *labels), settings))
    return html.block(*parts)


def comparison_charts(scope: Scope) -> list[Chart]:
    """Return the charts of runs of one objective over each other; those of several objectives have none in common."""
    runs = list_run_facts(scope)
    groups = {run.run_id: run.label for run in runs}
    objectives = {run.objective_sha256 for run in runs}
    charts = [reward_chart(learning_curve(scope, list(REWARDS)), groups, REWARDS)] if len(objectives) == 1 else []
    only = objectives.pop() if len(objectives) == 1 else None
    if only is not None:
        charts.append(calls_chart(rewards_by_calls(scope, only), groups))
    return [chart for chart in charts if chart is not None]


def live_status(scope: Scope) -> str:
    """Return how the first run of a scope goes: its status, totals and speed, and what became of its rows."""
    runs = list_run_facts(scope)
    if not runs:
        return html.block(html.note("The store has no run yet."))
    run = runs[0]
    outcomes = funnel_of(funnel_over_time(scope, bins=1))
    facts = {
        "status": run.status,
        "iterations": run.iterations,
        "oracle calls": _calls(run),
        "drawn": outcomes.drawn,
        "kept": outcomes.kept,
        "rewarded": outcomes.rewarded,
        "failed scores": outcomes.failed,
        "mean reward": run.mean_reward,
        "rows a second": run.drawn / run.seconds if run.seconds > 0 else None,
        "newest build": _ago(run.changed),
    }
    detail = html.note(run.detail) if run.detail else ""
    return html.block(html.numbers(facts), detail)


def live_charts(scope: Scope) -> list[Chart]:
    """Return the charts of a run that goes on: rewards over iterations, and what became of its rows."""
    groups = {run.run_id: run.label for run in list_run_facts(scope)}
    charts: Sequence[Chart | None] = [
        reward_chart(learning_curve(scope, list(REWARDS)), groups, REWARDS),
        outcomes_chart(funnel_over_time(scope)),
    ]
    return [chart for chart in charts if chart is not None]


def _calls(run: RunFacts) -> str | None:
    if run.oracle_calls is None:
        return None
    return f"{run.oracle_calls:,}" if run.budget is None else f"{run.oracle_calls:,} of {run.budget:,}"


def _ago(then: datetime) -> str:
    seconds = max(0, int((datetime.now(UTC).replace(tzinfo=None) - then).total_seconds()))
    if seconds < 120:
        return f"{seconds} s ago"
    return f"{seconds // 60} min ago" if seconds < 7200 else f"{then:%Y-%m-%d %H:%M}"
