"""What a reader has chosen in one window: it outlasts the elements of the page, which each new snapshot makes anew."""

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
    """What is new in a store; None where nothing is.

    Attributes:
        snapshot: the newest snapshot.
        choices: what there is to choose from.
        error: why the store cannot be read now; empty where it can.
    """

    snapshot: int | None = None
    choices: Choices | None = None
    error: str = ""


class Session:
    """The choices of a reader.

    Args:
        snapshot: the snapshot that is shown at first.
        choices: what there is to choose from in it.

    Attributes:
        selection: the molecules that are selected.
        neighbourhood: the fingerprints that molecules are compared with.
        page: the page of molecules that is shown, from 0.
    """

    def __init__(self, snapshot: int, choices: Choices) -> None:
        self._seen: tuple[int, Choices] = (snapshot, choices)
        self.selection = Selection()
        self.neighbourhood = Neighbourhood()
        self.page = 0
        self._wanted: MoleculeFilter | None = None
        self._boxes: dict[str, tuple[Hashable, Any, Box]] = {}

    def news(self, view: StoreView) -> News:
        """Return what is new in a store since this was asked last, or what keeps it from being read."""
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

        A chart that a newer snapshot has replaced keeps the box of the one before.

        Args:
            name: of the place of the chart.
            key: what the axes are: a box belongs to one of them.
            x: the field of the horizontal axis.
            y: the field of the vertical axis.
            chart: the element.
        """
        known_key, known_chart, box = self._boxes.get(name, (None, None, NO_BOX))
        if known_key != key:
            box = NO_BOX
        elif known_chart is chart:
            box = drawn_box(chart.selections, x, y)
        self._boxes[name] = (key, chart, box)
        return box

    def kept_box(self, name: str, key: Hashable) -> Box:
        """Return the box that a chart is drawn with: the one that the chart before it had."""
        known_key, _, box = self._boxes.get(name, (None, None, NO_BOX))
        return box if known_key == key else NO_BOX

    def turn(self, pages: int) -> None:
        """Turn some pages on, or back."""
        self.page = max(0, self.page + pages)

    def find(self, scope: Scope, wanted: MoleculeFilter) -> MoleculePage:
        """Return the page of molecules that is shown: of another filter than before, the first one.

        Raises:
            PredicateError: the condition of the filter is none.
            QueryError: it cannot be applied.
        """
        if wanted != self._wanted:
            self.page, self._wanted = 0, wanted
        found = find_molecules(scope, wanted, page=self.page)
        if not found.molecules and self.page:
            self.page = 0
            found = find_molecules(scope, wanted)
        return found

    def exported(self, scope: Scope, wanted: MoleculeFilter) -> list[FoundMolecule]:
        """Return what an export has: the selected molecules, and without any the first 10,000 of the filter."""
        if len(self.selection):
            return self.selection.molecules()
        return list(find_molecules(scope, wanted, size=MOST_EXPORTED).molecules)

    def is_last(self, found: MoleculePage) -> bool:
        """Return whether no page follows the one that is shown."""
        return (self.page + 1) * PAGE >= found.total
