"""What the cells of the notebook put together: charts, pages of molecules, neighbours, and their titles."""

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
        session: what the reader has drawn so far.
        scope: the runs.
        objective: the hash of the objective; None for none, and without charts.
        names: its components.
        x: the component across.
        y: the component up.
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
    """Return what the elements of a page filter by; arguments are those of ``molecule_charts``, and their values."""
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
    """A page of molecules, or why there is none."""

    page: MoleculePage | None
    error: str = ""


def find_or_say(session: Session, scope: Scope, wanted: MoleculeFilter) -> Found:
    """Return the page of molecules that a session shows, or what is wrong with its condition."""
    try:
        return Found(session.find(scope, wanted))
    except StoreError as error:
        return Found(None, str(error))


def found_title(page: MoleculePage, wanted: MoleculeFilter) -> str:
    """Return which molecules are shown, of how many, and what they are filtered by."""
    last = page.first + len(page.molecules)
    shown = f"Molecules {page.first + 1:,} to {last:,} of {page.total:,}" if page.molecules else "No molecule"
    words = wanted.words()
    by = f", filtered by {'; '.join(words)}" if words else ""
    return html.block(html.note(f"{shown}{by}."))


def export_title(session: Session, page: MoleculePage) -> str:
    """Return what an export has."""
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
        titles: the similarity of each.
        note: what they are, as HTML.
    """

    molecules: Sequence[FoundMolecule]
    titles: Sequence[str]
    note: str


def neighbours_of(session: Session, scope: Scope, objective: str, smiles: str) -> Nearest:
    """Return the neighbours of a molecule among those with a reward."""
    around = session.neighbourhood
    nearest = around.nearest(scope, objective, smiles)
    found = {molecule.smiles: molecule for molecule in found_of(scope, objective, [each.nearest for each in nearest])}
    shown = [each for each in nearest if each.nearest in found]
    return Nearest(
        [found[each.nearest] for each in shown],
        [f"similarity {each.similarity:.3f}" for each in shown],
        neighbours_note(shown, around.compared, around.total),
    )
