"""The whole report: its sections in their order, written as one HTML page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from molbuffer.pages.facts import scope_of
from molbuffer.pages.report.blocks import Section, shown
from molbuffer.pages.report.context import Context, ReportOptions, context_of, objective_named
from molbuffer.pages.report.html import write_html
from molbuffer.pages.report.sections import how_it_went, how_varied, what_came_out, what_it_took, what_was_run
from molbuffer.storage import SampleStore

SECTIONS: Sequence[Callable[[Context], Section]] = (
    what_was_run.what_was_run,
    how_it_went.learning,
    how_it_went.drawn_funnel,
    how_it_went.drawn_samplers,
    what_came_out.best,
    how_varied.variety,
    how_varied.trade_offs,
    how_varied.chemical_space,
    what_it_took.failures,
    what_it_took.costs,
    what_came_out.lineage,
)


def make_report(
    store: SampleStore,
    *,
    runs: Sequence[str] = (),
    snapshot: int | None = None,
    objective: str | None = None,
    options: ReportOptions = ReportOptions(),
) -> str:
    """Return the report on runs of a store as one HTML page, which makes no network requests.

    Args:
        store: the open store or archive.
        runs: the runs, each by its name or the start of its id; empty is all.
        snapshot: the snapshot to read; None is the newest.
        objective: the only objective to report on: the start of its sha256 or of a run's id, or the name of a run;
            None is all.
        options: the other options of the report.

    Raises:
        UnknownRunError: the store has no such run, or not exactly one objective of this name.
        UnknownSnapshotError: the store has no such snapshot.
    """
    scope = scope_of(store, runs, snapshot=snapshot)
    named = None if objective is None else objective_named(scope, objective)
    context = context_of(scope, options, named)
    name = options.store or store.path.name
    facts = [
        ("Store", f"{shown(name, 100)}{' (archive)' if store.archived else ''}"),
        ("Snapshot", str(scope.snapshot)),
        ("Runs", _runs_text(context)),
        ("Objectives", str(len(context.objectives) + len(context.others))),
    ]
    sections = [section(context) for section in SECTIONS]
    return write_html(shown(options.title or name, 200), facts, sections, datetime.now(UTC))


def _runs_text(context: Context) -> str:
    names = list(dict.fromkeys(run.name for run in context.runs))
    listed = ", ".join(shown(name, 40) for name in names[:4]) + (", …" if len(names) > 4 else "")
    return f"{len(context.runs)}: {listed}" if names else "none"
