"""Charts of molecules: chemical space, trade-offs, scaffolds, similarities, rewards and transforms."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import altair as alt
import polars as pl

from molbuffer.pages.charts.chart import (
    COLOURS,
    SCHEME,
    Chart,
    columns_of,
    layered,
    of,
    one_chart,
    short_labels,
    spec_of,
)
from molbuffer.pages.facts import ComponentFacts, DiversityFacts, Neighbour, SpaceMap, Tradeoffs

MAP_HEIGHT = 380
MOST_SMILES = 120


def map_chart(space: SpaceMap, colour: str) -> Chart | None:
    """Return a map of chemical space with points coloured by "iteration" or "reward"; None for too few molecules."""
    if len(space.points) < 3 or not any(space.explained):
        return None
    points = space.points.select("x", "y", "reward", "iteration", shortened("smiles"))
    # The last points are drawn on top: those of the best or the newest molecules.
    points = points.sort(colour)
    x, y = (f"component {at + 1} ({share:.1%} of the variance)" for at, share in enumerate(space.explained))
    chart = of("data").mark_circle(size=28, opacity=0.75).encode(
        x=alt.X("x:Q", title=x, axis=alt.Axis(labels=False, ticks=False, grid=False)),
        y=alt.Y("y:Q", title=y, axis=alt.Axis(labels=False, ticks=False, grid=False)),
        color=alt.Color(f"{colour}:Q", scale=alt.Scale(scheme=SCHEME),
                        legend=alt.Legend(orient="top", title=colour, gradientLength=160)),
        tooltip=["smiles:N", alt.Tooltip("reward:Q", format=".4f"), "iteration:Q"],
    )  # fmt: skip
    title = f"Chemical space by {colour}"
    said = f"{len(points):,} molecules in two dimensions, coloured by {colour}"
    return Chart(title, said, {title: spec_of(chart, MAP_HEIGHT)}, {"data": columns_of(points)}, canvas=True)


def tradeoff_chart(found: Tradeoffs) -> Chart:
    """Return a chart of the transformed values of two components, which a reader chooses, with their Pareto front."""
    labels = list(short_labels(found.components).values())
    # Names of components may differ in case only, but are never equal.
    specs: dict[str, Any] = {}
    for x, y in combinations(range(len(labels)), 2):
        specs[f"{labels[x]} and {labels[y]}"] = spec_of(_pair(x, y, labels), MAP_HEIGHT)
    raw = [f"r{at}" for at in range(len(labels))]
    points = found.points.select(shortened("smiles"), "reward", *(f"t{at}" for at in range(len(labels))), *raw)
    fronts = found.fronts.select("x", "y", "tx", "ty", shortened("smiles"))
    said = (
        f"Transformed values of {len(points):,} of {found.total:,} molecules, for each two components, with the front"
    )
    data = {"data": columns_of(points), "fronts": columns_of(fronts)}
    return Chart("Trade-off of two components", said, specs, data, canvas=True)


def _pair(x: int, y: int, labels: Sequence[str]) -> alt.LayerChart:
    scale = alt.Scale(domain=[0, 1], nice=False)
    shown = [alt.Tooltip("smiles:N"), alt.Tooltip("reward:Q", format=".4f")]
    for at in (x, y):
        shown += [alt.Tooltip(f"t{at}:Q", title="transformed", format=".3f"), alt.Tooltip(f"r{at}:Q", title="raw")]
    horizontal = alt.X(f"t{x}:Q", title=f"{labels[x]}, transformed", scale=scale)
    vertical = alt.Y(f"t{y}:Q", title=f"{labels[y]}, transformed", scale=scale)
    points = of("data").mark_circle(size=26, opacity=0.6).encode(
        x=horizontal, y=vertical, tooltip=shown,
        color=alt.Color("reward:Q", scale=alt.Scale(scheme=SCHEME),
                        legend=alt.Legend(orient="top", title="reward", gradientLength=160)),
    )  # fmt: skip
    front = of("fronts").transform_filter(f"datum.x === {x} && datum.y === {y}")
    line = front.mark_line(
        color=COLOURS[4], strokeWidth=2, interpolate="step-before", point=alt.OverlayMarkDef(color=COLOURS[4], size=40)
    ).encode(x=alt.X("tx:Q", scale=scale), y=alt.Y("ty:Q", scale=scale), order=alt.Order("tx:Q"),
             tooltip=["smiles:N", alt.Tooltip("tx:Q", format=".3f"), alt.Tooltip("ty:Q", format=".3f")])  # fmt: skip
    return layered(points, line)


def scaffold_chart(found: DiversityFacts) -> Chart | None:
    """Return a chart of the number of different scaffolds among the first n molecules drawn; None for too few."""
    if len(found.curve) < 2:
        return None
    line = of("data").mark_line(strokeWidth=2, color=COLOURS[0]).encode(
        x=alt.X("molecules:Q", title="molecules of the sample, in the order drawn"),
        y=alt.Y("scaffolds:Q", title="different scaffolds"),
        tooltip=["molecules:Q", "scaffolds:Q"],
    )  # fmt: skip
    molecules, scaffolds = found.curve.row(-1)
    said = f"{scaffolds:,} different scaffolds of {molecules:,} molecules"
    return one_chart("Different scaffolds", said, line, data=found.curve)


def neighbour_chart(found: Sequence[Neighbour]) -> Chart | None:
    """Return a histogram of the similarities to the nearest molecules of a reference; None without molecules."""
    if not found:
        return None
    frame = pl.DataFrame({"similarity": [each.similarity for each in found]})
    bars = of("data").mark_bar(color=COLOURS[0]).encode(
        x=alt.X("similarity:Q", bin=alt.Bin(step=0.05, extent=[0, 1]), title="similarity to the nearest molecule"),
        y=alt.Y("count():Q", title="molecules"), tooltip=["count():Q"],
    )  # fmt: skip
    mean = sum(each.similarity for each in found) / len(found)
    title = "Similarity to the reference"
    return one_chart(title, f"{len(found):,} molecules, mean similarity {mean:.2f}", bars, data=frame)


def reward_histogram(rewards: pl.DataFrame) -> Chart | None:
    """Return a histogram of the rewards of the molecules of a sample; None without molecules."""
    if rewards.is_empty():
        return None
    # The reward of a pair may be below 0.
    least = -1 if (rewards["reward"] < 0).any() else 0
    bars = of("data").mark_bar(color=COLOURS[0]).encode(
        x=alt.X("reward:Q", bin=alt.Bin(step=0.05, extent=[least, 1]), title="reward"),
        y=alt.Y("count():Q", title="molecules"), tooltip=["count():Q"],
    )  # fmt: skip
    said = f"{len(rewards):,} molecules, mean reward {rewards['reward'].sum() / len(rewards):.3f}"
    return one_chart("Rewards of the molecules", said, bars, data=rewards.select("reward"))


def transform_chart(component: ComponentFacts) -> Chart | None:
    """Return the curve of the transform of a component, with quantiles of its raw values; None without a curve."""
    if (curve := component.curve()) is None:
        return None
    raw, transformed = curve
    label = short_labels([component.name])[component.name]
    frame = pl.DataFrame({"raw": raw, "transformed": transformed})
    line = of("data").mark_line(strokeWidth=2, color=COLOURS[0]).encode(
        x=alt.X("raw:Q", title=f"raw value of {label}", scale=alt.Scale(nice=False, zero=False)),
        y=alt.Y("transformed:Q", title="transformed", scale=alt.Scale(domain=[0, 1])),
        tooltip=[alt.Tooltip("raw:Q", format=".4g"), alt.Tooltip("transformed:Q", format=".3f")],
    )  # fmt: skip
    kind = (component.transform or {}).get("kind", "")
    said = f"{label}: the transform {kind} maps raw values from {raw[0]:.3g} to {raw[-1]:.3g} to [0, 1]"
    if component.quantiles is None:
        return one_chart(label, said, line, data=frame)
    _, low, first, middle, last, high, _ = component.quantiles
    spread = pl.DataFrame({"low": [low], "first": [first], "middle": [middle], "last": [last], "high": [high]})
    shown = [alt.Tooltip(f"{name}:Q", title=title, format=".4g") for name, title in (
        ("low", "1 %"), ("first", "25 %"), ("middle", "median"), ("last", "75 %"), ("high", "99 %"),
    )]  # fmt: skip
    at = alt.value(4)
    whole = of("spread").mark_rule(strokeWidth=2, color=COLOURS[1]).encode(x="low:Q", x2="high:Q", y=at, tooltip=shown)
    half = of("spread").mark_rule(strokeWidth=8, color=COLOURS[1]).encode(x="first:Q", x2="last:Q", y=at, tooltip=shown)
    said += f"; half of the scores are from {first:.3g} to {last:.3g}, with the median {middle:.3g}"
    return Chart(
        label, said, {label: spec_of(layered(line, whole, half), 180)},
        {"data": columns_of(frame), "spread": columns_of(spread)},
    )  # fmt: skip


def shortened(name: str) -> pl.Expr:
    """Return a column of texts, each cut to ``MOST_SMILES`` characters for a tooltip."""
    cut = pl.col(name).str.head(MOST_SMILES) + pl.lit("…")
    return pl.when(pl.col(name).str.len_chars() > MOST_SMILES).then(cut).otherwise(pl.col(name)).alias(name)
