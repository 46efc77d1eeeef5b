"""The record of a chart, and the functions that all charts share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import altair as alt
import polars as pl

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#7F7F7F", "#8C6D31")
"""The colours of Okabe and Ito, which colour-blind people can tell apart on light and dark ground, and two more."""
SCHEME: Final = "viridis"
"""The colour scheme of numbers, whose lightness rises with the number."""
MOST_SERIES = len(COLOURS)
"""The most series that a chart tells apart by colour."""
LABEL_CHARACTERS = 32
HEIGHT = 260
ITERATION: Final = alt.Axis(tickMinStep=1, labelExpr="datum.value % 1 === 0 ? datum.label : ''")
"""The axis of iterations, with labels at whole numbers only."""


@dataclass(frozen=True)
class Chart:
    """A chart to be drawn by a page.

    Attributes:
        title: the title, in a few words.
        description: the text alternative of the chart, with its main numbers.
        specs: Vega-Lite specifications without data, by the label with which a reader chooses one; most charts have
            one.
        data: the named data of the specifications, each by column.
        canvas: draw the chart as pixels, which suits thousands of points; false draws SVG shapes.
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
    """Return a chart with one specification; ``data`` are its named data."""
    return Chart(title, description, {title: spec_of(layers)}, {name: columns_of(data[name]) for name in data})


def spec_of(layers: alt.Chart | alt.LayerChart, height: int = HEIGHT) -> dict[str, Any]:
    """Return the specification of a chart that fills the width of its container, without the settings of the page."""
    spec: dict[str, Any] = layers.properties(width="container", height=height).to_dict(validate=True)
    for key in ("$schema", "config"):
        spec.pop(key, None)
    return spec


def columns_of(frame: pl.DataFrame) -> dict[str, list[Any]]:
    """Return a frame by column as JSON values; numbers have five digits, and an infinite number or NaN is None."""
    return {name: [_short(value) for value in frame[name].to_list()] for name in frame.columns}


def _short(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    return value


def of(name: str) -> alt.Chart:
    """Return an empty chart of named data, to which the caller adds marks and encodings."""
    return alt.Chart(alt.NamedData(name=name))


def layered(*charts: alt.Chart) -> alt.LayerChart:
    """Return charts as layers of one chart, the last one on top."""
    return alt.LayerChart(layer=list(charts))


def short_labels(texts: Sequence[str], most: int = LABEL_CHARACTERS) -> dict[str, str]:
    """Return a unique label for each text, of at most ``most`` characters: its beginning and its end."""
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
    """Return a line without its middle, since the names of components of one kind differ at the end."""
    if len(line) <= most:
        return line
    end = (most - 1) // 3
    return f"{line[: most - 1 - end]}…{line[len(line) - end :]}"


def colours_of(labels: Sequence[str], among: Sequence[str] = ()) -> alt.Color:
    """Return the colours of series, in their order; several series have a legend above the chart.

    Args:
        labels: the series of the chart; more than ``MOST_SERIES`` share colours.
        among: all series of the page, so that each has the same colour in every chart; by default ``labels``.
    """
    # The symbols of the legend are opaque like lines, although bands are transparent.
    legend = (
        alt.Legend(orient="top", title=None, columns=0, labelLimit=220, symbolOpacity=1) if len(labels) > 1 else None
    )
    scale = alt.Scale(domain=list(labels), range=_colours(labels, among or labels))
    return alt.Color("series:N", scale=scale, legend=legend, sort=list(labels))


def _colours(labels: Sequence[str], among: Sequence[str]) -> list[str]:
    """Return the colour of each series: that of its place on the page, or the next one that is free."""
    places = {label: at for at, label in enumerate(among)}
    taken: list[str] = []
    for label in labels:
        first = places[label]
        wanted = [COLOURS[(first + at) % MOST_SERIES] for at in range(MOST_SERIES)]
        taken.append(next((colour for colour in wanted if colour not in taken), wanted[0]))
    return taken
