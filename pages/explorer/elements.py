"""The elements of the notebook: charts with a transparent background, and cards of molecules with buttons."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import altair as alt
import polars as pl

from molbuffer.pages.charts import SCHEME, Chart, short_labels, shortened
from molbuffer.pages.explorer import html
from molbuffer.pages.explorer.export import Selection
from molbuffer.pages.explorer.filters import NO_BOX, Box
from molbuffer.pages.explorer.grid import FoundMolecule
from molbuffer.pages.facts import MoleculeSample, Tradeoffs
from molbuffer.pages.pictures import common_core, picture

if TYPE_CHECKING:
    import marimo as mo

HEIGHT = 260


def reward_points(sample: MoleculeSample, box: Box = NO_BOX) -> alt.Chart:
    """Return a chart of the molecules of a sample by reward and first iteration, on which a reader can draw a box."""
    rows = sample.molecules.select(shortened("smiles"), "reward", "iteration")
    return _points(rows, ("iteration", "first iteration"), ("reward", "reward"), box)


def tradeoff_points(found: Tradeoffs, x: str, y: str, box: Box = NO_BOX) -> alt.Chart:
    """Return a chart of molecules by transformed values of two components, on which a reader can draw a box."""
    places = [found.components.index(name) for name in (x, y)]
    columns = [pl.col(f"t{place}").alias(axis) for place, axis in zip(places, "xy", strict=True)]
    labels = short_labels(found.components)
    rows = found.points.select(shortened("smiles"), "reward", *columns).drop_nulls()
    return _points(rows, ("x", labels[x]), ("y", labels[y]), box)


def _points(rows: pl.DataFrame, across: tuple[str, str], up: tuple[str, str], box: Box) -> alt.Chart:
    """Return a chart of points on which a reader can draw a box.

    Args:
        rows: the points.
        across: the field and the title of the horizontal axis.
        up: the field and the title of the vertical axis.
        box: the box that is drawn at first.
    """
    (x, x_title), (y, y_title) = across, up
    drawn: Any = {axis: [ends.low, ends.high] for axis, ends in zip("xy", box, strict=True) if ends is not None}
    chosen = alt.selection_interval(name="box", encodings=["x", "y"], value=drawn if len(drawn) == 2 else alt.Undefined)
    chart: alt.Chart = (
        alt.Chart(rows).mark_circle(size=30, opacity=0.7)
        .encode(
            x=alt.X(f"{x}:Q", title=x_title, scale=alt.Scale(zero=False, nice=True)),
            y=alt.Y(f"{y}:Q", title=y_title, scale=alt.Scale(zero=False, nice=True)),
            color=alt.Color("reward:Q", scale=alt.Scale(scheme=SCHEME), legend=None),
            tooltip=["smiles:N", alt.Tooltip("reward:Q", format=".4f"), alt.Tooltip(f"{x}:Q", title=x_title),
                     alt.Tooltip(f"{y}:Q", title=y_title, format=".4g")],
        )
        .properties(width="container", height=HEIGHT).add_params(chosen)
        .configure(background="transparent")
    )  # fmt: skip
    return chart


def drawn_chart(chart: Chart) -> alt.TopLevelMixin:
    """Return the first specification of a chart of the report, with its data inside."""
    spec = dict(next(iter(chart.specs.values())))
    rows = {name: pl.DataFrame(dict(columns), strict=False).to_dicts() for name, columns in chart.data.items()}
    title = {"text": chart.title, "anchor": "start", "fontSize": 13}
    drawn: alt.TopLevelMixin = alt.Chart.from_dict(
        _narrow(spec) | {"datasets": rows, "title": title, "config": {"background": "transparent"}}
    )
    return drawn


def _narrow(spec: Any) -> Any:
    """Return a specification with legends of two columns, which fit a narrow window without a script of the page."""
    if isinstance(spec, Mapping):
        columns = {"columns": 2} if spec.get("columns") == 0 else {}
        return {key: _narrow(value) for key, value in spec.items()} | columns
    return [_narrow(value) for value in spec] if isinstance(spec, list) else spec


def by_label(names: Sequence[str]) -> dict[str, str]:
    """Return names by short, unique labels for a list of choices."""
    return {label: name for name, label in short_labels(names).items()}


class Cards:
    """Cards of molecules, each with a button that opens the molecule and a checkbox that selects it.

    Args:
        molecules: the molecules.
        selection: the selected molecules, which the checkboxes change.
        opened: called with the SMILES of a molecule that a reader opens.
        marked: called when the selection has changed.
        first: the place of the first molecule, from 0.
        titles: the first line of each card; by default its number and its reward.
    """

    def __init__(
        self,
        molecules: Sequence[FoundMolecule],
        selection: Selection,
        opened: Callable[[str], None],
        marked: Callable[[], None],
        first: int = 0,
        titles: Sequence[str] = (),
    ) -> None:
        self.molecules, self.first, self.titles = molecules, first, titles
        self._selection, self._opened, self._marked = selection, opened, marked

    def buttons(self) -> list[Any]:
        """Return two elements for each card; a notebook puts them into one named array."""
        return [element for place, each in enumerate(self.molecules) for element in self._of(place, each)]

    def _of(self, place: int, molecule: FoundMolecule) -> tuple[Any, Any]:
        import marimo as mo

        def mark(chosen: bool) -> None:
            self._selection.mark(molecule, chosen)
            self._marked()

        number = self.first + place + 1
        opener = mo.ui.button(label=f"Open {number}", on_change=lambda _: self._opened(molecule.smiles))
        marker = mo.ui.checkbox(molecule.smiles in self._selection, label="select", on_change=mark)
        return opener, marker

    def shown(self, buttons: Any) -> mo.Html:
        """Return the cards as an element.

        Args:
            buttons: the array with the elements that ``buttons()`` returned.
        """
        import marimo as mo

        core = common_core([molecule.smiles for molecule in self.molecules])
        items = []
        for place, molecule in enumerate(self.molecules):
            number = self.first + place + 1
            reward = "no reward" if molecule.reward is None else f"{molecule.reward:.4f}"
            title = self.titles[place] if self.titles else f"{number}.  {reward}"
            lines = {"iteration": molecule.iteration, "sampler": molecule.sampler, "run": molecule.run_name,
                     "drawn": None if molecule.times_drawn == 1 else f"{molecule.times_drawn:,} times"}  # fmt: skip
            # The style also extends this button over the picture.
            opener = f'<span class="mb-opener">{buttons[2 * place].text}</span>'
            controls = f"{opener}{buttons[2 * place + 1].text}"
            drawn = picture(molecule.smiles, core=core)
            items.append(html.card(drawn, title, lines, molecule.smiles, controls))
        return mo.Html(html.block(html.cards(items)))
