"""What a chart is, and what all charts share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import altair as alt
import polars as pl

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#7F7F7F", "#8C6D31")
"""The colours of Okabe and Ito, which the colour-blind tell apart, on light and on dark ground, and two more."""
SCHEME: Final = "viridis"
"""The colours of numbers: their lightness rises with the number."""
MOST_SERIES = len(COLOURS)
"""The most series that a chart tells apart by colour."""
LABEL_CHARACTERS = 32
HEIGHT = 260
ITERATION: Final = alt.Axis(tickMinStep=1, labelExpr="datum.value % 1 === 0 ? datum.label : ''")
"""The axis of iterations, which are whole numbers however few there are."""


@dataclass(frozen=True)
class Chart:
    """A chart to be drawn by a page.

    Attributes:
        title: what it shows, in a few words.
        description: the same for those who do not see it, with what it comes to.
        specs: Vega-Lite specifications without data, by the label under which a reader chooses one; most charts have
            one.
        data: the named data of the specifications, each by column.
        canvas: whether it is drawn as pixels, as charts of thousands of points are, or as shapes.
    """

    title: str
    description: str
    specs: Mapping[str, Mapping[str, Any]] = field(repr=False)
    data: Mapping[str, Mapping[str, Sequence[Any]]] = field(repr=False)
    canvas: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return the chart as JSON values."""
        return {
            "description": self.description,
            "specs": dict(self.specs),
            "data": {name: dict(columns) for name, columns in self.data.items()},
            "renderer": "canvas" if self.canvas else "svg",
        }


def one_chart(title: str, description: str, layers: alt.Chart | alt.LayerChart, **data: pl.DataFrame) -> Chart:
    """Return a chart of one specification, whose data are the frames by their names."""
    return Chart(title, description, {title: spec_of(layers)}, {name: columns_of(data[name]) for name in data})


def spec_of(layers: alt.Chart | alt.LayerChart, height: int = HEIGHT) -> dict[str, Any]:
    """Return the specification of a chart that is as wide as its place, without the settings that a page has."""
    spec: dict[str, Any] = layers.properties(width="container", height=height).to_dict(validate=True)
    for key in ("$schema", "config"):
        spec.pop(key, None)
    return spec


def columns_of(frame: pl.DataFrame) -> dict[str, list[Any]]:
    """Return a frame by column as JSON has it, numbers with five digits, which no eye can tell from more."""
    return {name: [_short(value) for value in frame[name].to_list()] for name in frame.columns}


def _short(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    return value


def of(name: str) -> alt.Chart:
    """Return a chart of named data, to which marks and encodings are added."""
    return alt.Chart(alt.NamedData(name=name))


def layered(*charts: alt.Chart) -> alt.LayerChart:
    """Return charts on top of each other, the last one above the others."""
    return alt.LayerChart(layer=list(charts))


def short_labels(texts: Sequence[str], most: int = LABEL_CHARACTERS) -> dict[str, str]:
    """Return a label for each text: at most so many characters of it, its beginning and its end, and no two alike."""
    labels: dict[str, str] = {}
    for text in texts:
        if text in labels:
            continue
        line = " ".join(text.split()) or "(no name)"
        label = _shortened(line, most)
        taken = set(labels.values())
        number = 2
        while label in taken:
            tail = f" ({number})"
            label, number = f"{_shortened(line, most - len(tail))}{tail}", number + 1
        labels[text] = label
    return labels


def _shortened(line: str, most: int) -> str:
    """Return a line without its middle: components of one kind differ at the end."""
    if len(line) <= most:
        return line
    end = (most - 1) // 3
    return f"{line[: most - 1 - end]}…{line[len(line) - end :]}"


def colours_of(labels: Sequence[str], among: Sequence[str] = ()) -> alt.Color:
    """Return the colours of series, in their order, with a legend above the chart where there are several.

    Args:
        labels: the series that are drawn, at most ``MOST_SERIES`` where they are to be told apart.
        among: all series of the page, so that each has one colour in every chart; by default those that are drawn.
    """
    # Of lines, whatever their bands look like.
    legend = (
        alt.Legend(orient="top", title=None, columns=0, labelLimit=220, symbolOpacity=1) if len(labels) > 1 else None
    )
    scale = alt.Scale(domain=list(labels), range=_colours(labels, among or labels))
    return alt.Color("series:N", scale=scale, legend=legend, sort=list(labels))


def _colours(labels: Sequence[str], among: Sequence[str]) -> list[str]:
    """Return the colour of each series: that of its place on the page, or the next one that no other of them has."""
    places = {label: at for at, label in enumerate(among)}
    taken: list[str] = []
    for label in labels:
        first = places[label]
        wanted = [COLOURS[(first + at) % MOST_SERIES] for at in range(MOST_SERIES)]
        taken.append(next((colour for colour in wanted if colour not in taken), wanted[0]))
    return taken
