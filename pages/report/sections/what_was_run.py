"""The section on the runs: their settings, and their objectives with transforms as curves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from molbuffer.pages.charts import transform_chart
from molbuffer.pages.facts import SHORT_ID, ComponentFacts, ObjectiveFacts, RunFacts
from molbuffer.pages.report.blocks import (
    Block,
    Cell,
    Charts,
    Folded,
    Heading,
    Note,
    Section,
    Table,
    duration,
    number_cell,
    shown,
    text_cell,
)
from molbuffer.pages.report.context import Context

MOST_CONFIGURATIONS = 4
MOST_CONFIGURATION_CHARACTERS = 20_000


def what_was_run(context: Context) -> Section:
    """Return the section on the runs and their objectives."""
    return Section(
        "runs",
        "What was run",
        "The runs with their seeds, versions, budgets and times, and the objectives that gave the rewards; watch for "
        "runs that did not finish, and for raw values (orange: the middle 98 %, thick the middle half) that lie where "
        "a transform is flat, since such a component cannot guide anything.",
        list(_blocks(context)) if context.runs else [],
        "The store has no run yet, as of this snapshot.",
    )


def _blocks(context: Context) -> Iterator[Block]:
    yield _runs(context)
    for objective in context.objectives:
        yield Heading(f"Objective {objective.sha256[:SHORT_ID]}")
        yield from _objective(objective)
    if context.others:
        names = ", ".join(each.sha256[:SHORT_ID] for each in context.others)
        yield Note(f"Further objectives, which this report does not show: {names}. --objective NAME shows one of them.")
    yield from _configurations(context)


def _runs(context: Context) -> Table:
    columns = (
        *("run", "id", "kind", "status", "objective", "policy", "seed", "iterations", "drawn", "kept"),
        *("calls", "budget", "time", "started (UTC)"),
    )
    return Table(
        "Runs",
        columns,
        [_run(run) for run in context.runs],
        numeric=frozenset({6, 7, 8, 9, 10, 11, 12}),
    )


def _run(run: RunFacts) -> list[Cell]:
    status = run.status or "not known"
    detail = f"{status}: {run.detail}" if run.detail else status
    return [
        text_cell(run.name),
        text_cell(run.run_id[:SHORT_ID]),
        text_cell(run.shown_kind),
        text_cell(shown(detail, 160)),
        text_cell((run.objective_sha256 or "")[:SHORT_ID]),
        text_cell(_policy(run)),
        number_cell(run.seed, "d"),
        number_cell(run.iterations, ",d"),
        number_cell(run.drawn, ",d"),
        number_cell(run.kept, ",d"),
        number_cell(run.oracle_calls, ",d"),
        number_cell(run.budget, ",d"),
        Cell(duration(run.seconds), run.seconds),
        text_cell(run.started.strftime("%Y-%m-%d %H:%M")),
    ]


def _policy(run: RunFacts) -> str:
    prior, agent = run.setting("policy", "prior"), run.setting("policy", "agent")
    return " → ".join(str(each) for each in (prior, agent) if isinstance(each, str) and each)


def _objective(objective: ObjectiveFacts) -> Iterator[Block]:
    runs = ", ".join(dict.fromkeys(objective.runs)) or "no run of its own here"
    yield Note(
        f"{_aggregated(objective)}. Of {shown(runs, 200)}: {objective.rewarded:,} rows with a reward, "
        f"{objective.without:,} without."
    )
    if objective.components:
        columns = ("component", "weight", "transform", "gate", "scores", "least", "median", "greatest", "version")
        rows = [_component(component) for component in objective.components]
        yield Table("Components", columns, rows, numeric=frozenset({1, 4, 5, 6, 7}))
        yield Charts([transform_chart(component) for component in objective.components])
        without = [each.name for each in objective.components if each.curve() is None]
        if without:
            names = shown(", ".join(without), 200)
            yield Note(
                f"No curve can be drawn for {names}: the transform cannot be read, or its kind is not installed here."
            )


def _aggregated(objective: ObjectiveFacts) -> str:
    if objective.aggregation is None:
        return "The components are not recorded, as for rewards of pairs"
    return f"The {objective.aggregation.replace('_', ' ')} of the transformed values"


def _component(component: ComponentFacts) -> list[Cell]:
    quantiles = component.quantiles or (None,) * 7
    return [
        text_cell(component.name),
        number_cell(component.weight, "g"),
        text_cell(_transform(component.transform)),
        text_cell(component.gate),
        number_cell(component.scored, ",d"),
        *(number_cell(quantiles[at]) for at in (0, 3, -1)),
        text_cell((component.version or "")[:SHORT_ID]),
    ]


def _transform(transform: Mapping[str, Any] | None) -> str:
    if transform is None:
        return "cannot be read"
    numbers = ", ".join(f"{name} = {value}" for name, value in transform.items() if name != "kind")
    return f"{transform.get('kind')}" + (f" ({numbers})" if numbers else "")


def _configurations(context: Context) -> Iterator[Block]:
    seen: dict[str, str] = {}
    for run in context.runs:
        text = json.dumps(run.config, indent=1, ensure_ascii=False)
        if run.config:
            seen.setdefault(text, run.label)
    for text, label in list(seen.items())[:MOST_CONFIGURATIONS]:
        title = f"Configuration of {shown(label, 100)}"
        yield Folded(title, shown(text, MOST_CONFIGURATION_CHARACTERS))
    versions = dict.fromkeys(
        "\n".join([f"molbuffer {run.code_version}", *(f"{name} {each}" for name, each in run.libraries.items())])
        for run in context.runs
    )
    for text in list(versions)[:MOST_CONFIGURATIONS]:
        yield Folded("Versions", shown(text, MOST_CONFIGURATION_CHARACTERS))
