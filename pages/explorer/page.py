"""Functions that the cells of the notebook call: charts, pages of molecules, neighbours, and their titles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from molbuffer.pages.explorer import html
from molbuffer.pages.explorer.details import neighbours_note
from molbuffer.pages.explorer.elements import reward_points, tradeoff_points
from molbuffer.pages.explorer.export import MOST_EXPORTED
from molbuffer.pages.explorer.filters import MoleculeFilter, Order
from molbuffer.pages.explorer.grid import FoundMolecule, MoleculePage, found_of
from molbuffer.pages.explorer.session import Session
from molbuffer.pages.facts import Scope, sample_molecules
from molbuffer.pages.facts.tradeoffs import tradeoffs
from molbuffer.storage import StoreError

MOST_POINTS = 1_500
HINT = (
    "Draw a box on a chart to filter by it; a click outside of the box removes it. An objective of several components "
    "has a chart of two of them, once both are chosen."
)


def title(store: Path, snapshot: int) -> str:
    """Return the head of the page."""
    said = f"snapshot {snapshot:,} of {store}"
    return html.block(f'<div class="mb-head"><h1>{html.text(store.name, 80)}</h1>{html.note(said)}</div>')


def molecule_charts(
    session: Session, scope: Scope, objective: str | None, names: Sequence[str], x: str | None, y: str | None
) -> list[Any]:
    """Return the charts on which a reader draws boxes: rewards over iterations, and two components.

    Args:
        session: the session, with the boxes drawn so far.
        scope: the runs.
        objective: the sha256 of the objective; None returns no charts.
        names: the components of the objective.
        x: the component on the horizontal axis; None draws no chart of components.
        y: the component on the vertical axis; None draws no chart of components.
    """
    import marimo as mo

    if objective is None:
        return []
    sample = sample_molecules(scope, objective, MOST_POINTS)
    charts = [reward_points(sample, session.kept_box("rewards", objective))] if sample.total else []
    if charts and x is not None and y is not None and x != y:
        found = tradeoffs(scope, objective, names, most=MOST_POINTS)
        if found is not None and {x, y} <= set(found.components):
            charts.append(tradeoff_points(found, x, y, session.kept_box("components", (objective, x, y))))
    return [mo.ui.altair_chart(chart, chart_selection=False, legend_selection=False) for chart in charts]


def filter_of(
    session: Session,
    objective: str | None,
    where: str,
    order: str,
    charts: Sequence[Any],
    x: str | None,
    y: str | None,
) -> MoleculeFilter:
    """Return the filter that the elements of a page describe.

    Args:
        session: the session of the reader.
        objective: the sha256 of the objective; None is none.
        where: a condition over ``sample_history``; empty for none.
        order: the name of the order.
        charts: the charts that ``molecule_charts`` returned.
        x: the component on the horizontal axis of the second chart.
        y: the component on its vertical axis.
    """
    iteration = reward = None
    components = {}
    if charts:
        iteration, reward = session.box("rewards", objective, "iteration", "reward", charts[0])
    if len(charts) > 1 and x is not None and y is not None:
        box = session.box("components", (objective, x, y), "x", "y", charts[1])
        components = {name: ends for name, ends in zip((x, y), box, strict=True) if ends is not None}
    return MoleculeFilter(
        objective_sha256=objective,
        where=where,
        reward=reward,
        iteration=iteration,
        components=components,
        order=Order(order),
    )


@dataclass(frozen=True)
class Found:
    """A page of molecules, or the error that prevents it.

    Attributes:
        page: the page; None after an error.
        error: the error; empty without one.
    """

    page: MoleculePage | None
    error: str = ""


def find_or_say(session: Session, scope: Scope, wanted: MoleculeFilter) -> Found:
    """Return the page of molecules that a session shows, or the error of its condition."""
    try:
        return Found(session.find(scope, wanted))
    except StoreError as error:
        return Found(None, str(error))


def found_title(page: MoleculePage, wanted: MoleculeFilter) -> str:
    """Return the title above a page of molecules as HTML: its place, the number of molecules, and the filter."""
    last = page.first + len(page.molecules)
    shown = f"Molecules {page.first + 1:,} to {last:,} of {page.total:,}" if page.molecules else "No molecule"
    words = wanted.words()
    by = f", filtered by {'; '.join(words)}" if words else ""
    return html.block(html.note(f"{shown}{by}."))


def export_title(session: Session, page: MoleculePage) -> str:
    """Return the label of the export buttons: which molecules are exported."""
    if len(session.selection):
        return f"Export the {len(session.selection):,} selected:"
    if page.total > MOST_EXPORTED:
        return f"None selected. Export the first {MOST_EXPORTED:,} of {page.total:,}:"
    return f"None selected. Export all {page.total:,}:"


@dataclass(frozen=True)
class Nearest:
    """The neighbours of a molecule, for cards.

    Attributes:
        molecules: the neighbours.
        titles: the title of each, with its similarity.
        note: the heading and a sentence about the comparison, as HTML.
    """

    molecules: Sequence[FoundMolecule]
    titles: Sequence[str]
    note: str


def neighbours_of(session: Session, scope: Scope, objective: str, smiles: str) -> Nearest:
    """Return the neighbours of a molecule among the molecules with a reward under an objective."""
    around = session.neighbourhood
    nearest = around.nearest(scope, objective, smiles)
    found = {molecule.smiles: molecule for molecule in found_of(scope, objective, [each.nearest for each in nearest])}
    shown = [each for each in nearest if each.nearest in found]
    return Nearest(
        [found[each.nearest] for each in shown],
        [f"similarity {each.similarity:.3f}" for each in shown],
        neighbours_note(shown, around.compared, around.total),
    )
