"""Charts of the progress of runs, over iterations and over oracle calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import altair as alt
import numpy as np
import polars as pl

from molbuffer.pages.charts.chart import ITERATION, MOST_SERIES, Chart, colours_of, layered, of, one_chart
from molbuffer.pages.facts import CallCurve

GRID = 150
"""The number of points of a band over runs."""


def reward_chart(
    curve: pl.DataFrame, groups: Mapping[str, str], names: Mapping[str, str], among: Sequence[str] = ()
) -> Chart | None:
    """Return a chart of reward metrics over iterations; None without points.

    Several runs of one group are drawn as their mean, with a band from the least to the largest value.

    Args:
        curve: the metrics, as ``learning_curve`` returns them.
        groups: the group of each run by its id, in the order of the page; runs without a group are left out.
        names: the names of the metrics, with their labels; each metric has its own dash pattern.
        among: all groups of the page, which determine the colours; by default those of ``groups``.
    """
    rows = _grouped(curve.filter(pl.col("name").is_in(list(names))), groups)
    if rows.is_empty():
        return None
    rows = rows.with_columns(pl.col("name").replace_strict(dict(names)))
    series = _first_series(rows, groups)
    colours = colours_of(series, among or _labels(groups))
    rows = rows.filter(pl.col("series").is_in(series))
    kinds = [name for name in names.values() if name in rows["name"].unique().to_list()]
    title = f"Reward of rows: {' and '.join(kinds)}"
    dash = alt.StrokeDash(
        "name:N", sort=kinds, scale=alt.Scale(domain=kinds, range=[[1, 0], [5, 3], [2, 2]][: len(kinds)]),
        legend=alt.Legend(orient="top", title=None) if len(kinds) > 1 else None,
    )  # fmt: skip
    x = alt.X("iteration:Q", title="iteration", axis=ITERATION)
    shown = [alt.Tooltip("series:N", title="run"), alt.Tooltip("name:N", title="metric"), "iteration:Q"]
    line = of("data").mark_line(strokeWidth=2).encode(
        x=x, y=alt.Y("mean:Q", title="reward", scale=alt.Scale(zero=False)), color=colours, strokeDash=dash,
        tooltip=[*shown, alt.Tooltip("mean:Q", format=".4f")],
    )  # fmt: skip
    band = of("data").mark_area(opacity=0.18).encode(
        x=x, y=alt.Y("low:Q", title="reward"), y2="high:Q", color=colours, detail="name:N"
    )  # fmt: skip
    return one_chart(title, f"{title} over iterations. {_ends(rows)}", layered(band, line), data=rows)


def metric_chart(
    curve: pl.DataFrame,
    groups: Mapping[str, str],
    name: str,
    title: str,
    unit: str,
    zero: bool,
    among: Sequence[str] = (),
) -> Chart | None:
    """Return a chart of one metric over iterations, for all groups of runs; None without points.

    Args:
        curve: the metrics, as ``learning_curve`` returns them.
        groups: the group of each run by its id, in the order of the page.
        name: the name of the metric.
        title: the title of the chart.
        unit: the title of the axis of values.
        zero: whether this axis begins at 0.
        among: all groups of the page, which determine the colours; by default those of ``groups``.
    """
    rows = _grouped(curve.filter(pl.col("name") == name), groups)
    if rows.is_empty():
        return None
    series = _first_series(rows, groups)
    colours = colours_of(series, among or _labels(groups))
    rows = rows.filter(pl.col("series").is_in(series))
    line = of("data").mark_line(strokeWidth=2).encode(
        x=alt.X("iteration:Q", title="iteration", axis=ITERATION),
        y=alt.Y("mean:Q", title=unit, scale=alt.Scale(zero=zero)),
        color=colours,
        tooltip=[alt.Tooltip("series:N", title="run"), "iteration:Q", alt.Tooltip("mean:Q", title=title, format=".4g")],
    )  # fmt: skip
    return one_chart(title, f"{title} over iterations. {_ends(rows)}", line, data=rows)


def calls_chart(curves: Sequence[CallCurve], groups: Mapping[str, str]) -> Chart | None:
    """Return a chart of the best reward and the mean of the ten best over oracle calls; None without any reward."""
    found = [curve for curve in curves if curve.run_id in groups and curve.best is not None]
    parts = []
    for group in dict.fromkeys(groups[curve.run_id] for curve in found):
        of_group = [curve for curve in found if groups[curve.run_id] == group]
        for column, title in (("top_10", "mean of the ten best"), ("best", "best")):
            parts.append(_over_calls(of_group, column).with_columns(series=pl.lit(group), name=pl.lit(title)))
    if not parts:
        return None
    rows = pl.concat(parts)
    series = _first_series(rows, groups)
    colours = colours_of(series, _labels(groups))
    rows = rows.filter(pl.col("series").is_in(series))
    kinds = ["mean of the ten best", "best"]
    dash = alt.StrokeDash(
        "name:N", sort=kinds, scale=alt.Scale(domain=kinds, range=[[1, 0], [5, 3]]),
        legend=alt.Legend(orient="top", title=None),
    )  # fmt: skip
    x = alt.X("calls:Q", title="oracle calls")
    line = of("data").mark_line(strokeWidth=2).encode(
        x=x, y=alt.Y("mean:Q", title="reward", scale=alt.Scale(zero=False)), color=colours, strokeDash=dash,
        tooltip=[alt.Tooltip("series:N", title="run"), alt.Tooltip("name:N", title="curve"), "calls:Q",
                 alt.Tooltip("mean:Q", title="reward", format=".4f")],
    )  # fmt: skip
    band = of("data").mark_area(opacity=0.18).encode(
        x=x, y=alt.Y("low:Q", title="reward"), y2="high:Q", color=colours, detail="name:N"
    )  # fmt: skip
    ends = "; ".join(
        f"{groups[curve.run_id]}: best {curve.best:.3f}, area under the top ten {curve.auc_top_10:.3f}"
        for curve in found[:MOST_SERIES]
    )
    title = "Best rewards over oracle calls"
    return one_chart(title, f"{title}. {ends}", layered(band, line), data=rows)


def _over_calls(curves: Sequence[CallCurve], column: str) -> pl.DataFrame:
    """Return the mean, minimum and maximum of curves at the same calls; a curve that has ended keeps its last value."""
    last = max(curve.calls for curve in curves)
    at = np.unique(np.linspace(1, last, min(GRID, last)).round())
    values = []
    for curve in curves:
        points = curve.points.drop_nulls(column)
        # The best reward changes in steps: the value at a call is that of the last point before it.
        places = np.searchsorted(points["calls"].to_numpy(), at, side="right") - 1
        known = points[column].to_numpy()[places.clip(0)]
        values.append(np.where(places >= 0, known, np.nan))
    stacked = np.array(values)
    some = ~np.isnan(stacked).all(axis=0)
    stacked, at = stacked[:, some], at[some]
    return pl.DataFrame(
        {
            "calls": at,
            "mean": np.nanmean(stacked, axis=0),
            "low": np.nanmin(stacked, axis=0),
            "high": np.nanmax(stacked, axis=0),
        }
    )


def _grouped(curve: pl.DataFrame, groups: Mapping[str, str]) -> pl.DataFrame:
    rows = curve.filter(pl.col("run_id").is_in(list(groups))).with_columns(
        series=pl.col("run_id").replace_strict(dict(groups), default=None, return_dtype=pl.String)
    )
    return (
        rows.group_by("series", "name", "iteration")
        .agg(mean=pl.col("value").mean(), low=pl.col("value").min(), high=pl.col("value").max())
        .sort("series", "name", "iteration")
    )


def _labels(groups: Mapping[str, str]) -> list[str]:
    return list(dict.fromkeys(groups.values()))


def _first_series(rows: pl.DataFrame, groups: Mapping[str, str]) -> list[str]:
    """Return the ``MOST_SERIES`` series with the highest last values, in the order of the groups."""
    last = rows.group_by("series").agg(pl.col("mean").last()).sort("mean", "series", descending=[True, False])
    first = set(last["series"].head(MOST_SERIES).to_list())
    return [label for label in _labels(groups) if label in first]


def _ends(rows: pl.DataFrame) -> str:
    last = rows.group_by("series", "name", maintain_order=True).agg(
        pl.col("mean").first().alias("a"), pl.col("mean").last()
    )
    return "; ".join(
        f"{row['series']}, {row['name']}: from {row['a']:.4g} to {row['mean']:.4g}" for row in last.head(8).to_dicts()
    )
