"""The choices of a reader in one window; they outlast the elements of the page, which each new snapshot replaces."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from molbuffer.pages.explorer.export import MOST_EXPORTED, Selection
from molbuffer.pages.explorer.filters import NO_BOX, Box, MoleculeFilter, drawn_box
from molbuffer.pages.explorer.grid import PAGE, FoundMolecule, MoleculePage, find_molecules
from molbuffer.pages.explorer.neighbours import Neighbourhood
from molbuffer.pages.explorer.view import Choices, StoreView
from molbuffer.pages.facts import Scope
from molbuffer.storage import StoreError


@dataclass(frozen=True)
class News:
    """The changes of a store.

    Attributes:
        snapshot: the newest snapshot; None without a new one.
        choices: the runs and objectives to choose from; None if they are the same.
        error: why the store cannot be read now; empty without an error.
    """

    snapshot: int | None = None
    choices: Choices | None = None
    error: str = ""


class Session:
    """The choices of a reader.

    Args:
        snapshot: the snapshot that is shown at first.
        choices: the runs and objectives of this snapshot.

    Attributes:
        selection: the selected molecules.
        neighbourhood: the fingerprints that molecules are compared with.
        page: the number of the page of molecules that is shown, from 0.
    """

    def __init__(self, snapshot: int, choices: Choices) -> None:
        self._seen: tuple[int, Choices] = (snapshot, choices)
        self.selection = Selection()
        self.neighbourhood = Neighbourhood()
        self.page = 0
        self._wanted: MoleculeFilter | None = None
        self._boxes: dict[str, tuple[Hashable, Any, Box]] = {}

    def news(self, view: StoreView) -> News:
        """Return the changes of a store since the last call, or the error that prevents reading it."""
        try:
            snapshot = view.newest()
            if snapshot == self._seen[0]:
                return News()
            choices = view.choices(snapshot)
        except StoreError as error:
            return News(error=str(error))
        known, self._seen = self._seen, (snapshot, choices)
        return News(snapshot, None if choices == known[1] else choices)

    def box(self, name: str, key: Hashable, x: str, y: str, chart: Any) -> Box:
        """Return the box that is drawn on a chart, as the intervals of both axes.

        The chart of a newer snapshot keeps the box of the chart that it replaces.

        Args:
            name: the name of the place of the chart on the page.
            key: the identity of the axes; a box is dropped when the axes change.
            x: the field of the horizontal axis.
            y: the field of the vertical axis.
            chart: the element of the chart.
        """
        known_key, known_chart, box = self._boxes.get(name, (None, None, NO_BOX))
        if known_key != key:
            box = NO_BOX
        elif known_chart is chart:
            box = drawn_box(chart.selections, x, y)
        self._boxes[name] = (key, chart, box)
        return box

    def kept_box(self, name: str, key: Hashable) -> Box:
        """Return the box with which a new chart is drawn: that of the chart that it replaces."""
        known_key, _, box = self._boxes.get(name, (None, None, NO_BOX))
        return box if known_key == key else NO_BOX

    def turn(self, pages: int) -> None:
        """Turn a number of pages forward, or back if it is negative."""
        self.page = max(0, self.page + pages)

    def find(self, scope: Scope, wanted: MoleculeFilter) -> MoleculePage:
        """Return the page of molecules that is shown; when the filter changes, return to the first page.

        Raises:
            PredicateError: the condition of the filter is not a predicate.
            QueryError: the condition cannot be applied.
        """
        if wanted != self._wanted:
            self.page, self._wanted = 0, wanted
        found = find_molecules(scope, wanted, page=self.page)
        if not found.molecules and self.page:
            self.page = 0
            found = find_molecules(scope, wanted)
        return found

    def exported(self, scope: Scope, wanted: MoleculeFilter) -> list[FoundMolecule]:
        """Return the molecules of an export: the selected ones, or without any the first 10,000 of the filter."""
        if len(self.selection):
            return self.selection.molecules()
        return list(find_molecules(scope, wanted, size=MOST_EXPORTED).molecules)

    def is_last(self, found: MoleculePage) -> bool:
        """Return whether the present page is the last one."""
        return (self.page + 1) * PAGE >= found.total
