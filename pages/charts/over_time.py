"""Charts of drawn rows over iterations: outcomes, metrics of samplers, shares of batches."""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt
import polars as pl

from molbuffer.pages.charts.chart import ITERATION, Chart, colours_of, of, one_chart, short_labels
from molbuffer.pages.facts import COMPUTED, FAILED, KNOWN, LOST, NOT_PARSEABLE, PENDING, REFUSED, WITHOUT

MOST_FILTERS = 4
OTHER_FILTERS = "refused: other filters"
_OF_OUTCOMES = {
    COMPUTED: "#0072B2",
    KNOWN: "#56B4E9",
    WITHOUT: "#009E73",
    PENDING: "#F0E442",
    FAILED: "#D55E00",
    LOST: "#CC79A7",
    NOT_PARSEABLE: "#4A4F57",
}
_OF_FILTERS = ("#767E88", "#949CA5", "#B1B8BF", "#CDD2D7", "#E4E7EA")


def outcomes_chart(outcomes: pl.DataFrame) -> Chart | None:
    """Return a chart of the shares of outcomes of drawn rows over iterations, for all runs together; None without rows.

    Args:
        outcomes: the outcomes, as ``funnel_over_time`` returns them.
    """
    if outcomes.is_empty():
        return None
    totals = outcomes.group_by("outcome").agg(pl.col("rows").sum()).sort("rows", "outcome", descending=[True, False])
    filters = [name for name in totals["outcome"].to_list() if name.startswith(REFUSED)]
    named, others = (filters, []) if len(filters) <= MOST_FILTERS + 1 else (
        filters[:MOST_FILTERS], filters[MOST_FILTERS:],
    )  # fmt: skip
    labels = short_labels(named)
    rows = (
        outcomes.with_columns(
            pl.col("outcome").replace(labels | dict.fromkeys(others, OTHER_FILTERS)).alias("outcome")
        )
        .group_by("iteration", "outcome").agg(pl.col("rows").sum()).sort("iteration", "outcome")
    )  # fmt: skip
    present = set(rows["outcome"].to_list())
    order = [name for name in (COMPUTED, KNOWN, WITHOUT, PENDING, FAILED, LOST) if name in present]
    order += [labels[name] for name in named] + ([OTHER_FILTERS] if others else [])
    order += [NOT_PARSEABLE] if NOT_PARSEABLE in present else []
    colours = dict(zip([name for name in order if name not in _OF_OUTCOMES], _OF_FILTERS, strict=False))
    rows = rows.with_columns(place=pl.col("outcome").replace_strict({name: at for at, name in enumerate(order)}))
    step = _step_of(rows)
    rows = rows.with_columns(until=pl.col("iteration") + step)
    chart = of("data").mark_bar(binSpacing=0).encode(
        x=alt.X("iteration:Q", title="iteration", axis=ITERATION, bin=alt.BinParams(binned=True)), x2="until:Q",
        y=alt.Y("rows:Q", title="share of the drawn rows", stack="normalize", axis=alt.Axis(format="%")),
        color=alt.Color(
            "outcome:N", sort=order,
            scale=alt.Scale(domain=order, range=[(_OF_OUTCOMES | colours).get(name, "#999999") for name in order]),
            legend=alt.Legend(orient="top", title=None, columns=0, labelLimit=260),
        ),
        order=alt.Order("place:Q"),
        tooltip=["outcome:N", alt.Tooltip("iteration:Q", title="from iteration"), "rows:Q"],
    )  # fmt: skip
    whole = rows["rows"].sum()
    parts = rows.group_by("outcome").agg(pl.col("rows").sum()).sort("rows", descending=True).rows()
    said = ", ".join(f"{name} {n / whole:.1%}" for name, n in parts)
    return one_chart("Outcomes of the drawn rows", f"Of {whole:,} drawn rows: {said}", chart, data=rows)


def _step_of(rows: pl.DataFrame) -> int:
    """Return the number of iterations of a bar: the least distance between two bars."""
    starts = rows["iteration"].unique().sort()
    gaps = starts.diff().drop_nulls()
    return 1 if gaps.is_empty() else max(1, int(gaps.min()))  # type: ignore[arg-type]


def sampler_chart(
    over_time: pl.DataFrame, name: str, title: str, unit: str, labels: Mapping[tuple[str, str], str]
) -> Chart | None:
    """Return a chart of one metric of all samplers and events over iterations; None without values.

    Args:
        over_time: the metrics, as ``samplers_over_time`` returns them.
        name: the name of the metric.
        title: the title of the chart.
        unit: the title of the axis of values.
        labels: the label of each (sampler, event).
    """
    rows = over_time.filter(pl.col("name") == name)
    if rows.is_empty():
        return None
    series = [labels[key] for key in rows.select("sampler", "event").iter_rows()]
    rows = (
        rows.with_columns(pl.Series("series", series))
        .group_by("series", "iteration").agg(pl.col("value").mean()).sort("series", "iteration")
    )  # fmt: skip
    order = [label for label in labels.values() if label in set(series)]
    line = of("data").mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=12)).encode(
        x=alt.X("iteration:Q", title="iteration", axis=ITERATION),
        y=alt.Y("value:Q", title=unit, scale=alt.Scale(zero=False)),
        color=colours_of(order, list(labels.values())),
        tooltip=[alt.Tooltip("series:N", title="sampler"), "iteration:Q", alt.Tooltip("value:Q", format=".4f")],
    )  # fmt: skip
    ends = rows.group_by("series", maintain_order=True).agg(pl.col("value").last())
    said = "; ".join(f"{row['series']} at last {row['value']:.3f}" for row in ends.to_dicts())
    return one_chart(title, f"{title} over iterations: {said}", line, data=rows)


def shares_chart(shares: pl.DataFrame) -> Chart | None:
    """Return a chart of the realised shares of training batches over iterations, for all runs; None without shares."""
    if shares.is_empty():
        return None
    labels = short_labels(shares["source"].unique(maintain_order=True).to_list())
    rows = (
        shares.with_columns(pl.col("source").replace_strict(labels).alias("series"))
        .group_by("series", "iteration").agg(pl.col("share").mean()).sort("series", "iteration")
    )  # fmt: skip
    order = list(labels.values())
    area = of("data").mark_area().encode(
        x=alt.X("iteration:Q", title="iteration", axis=ITERATION),
        y=alt.Y("share:Q", title="share of the batch", stack="zero", axis=alt.Axis(format="%")),
        color=colours_of(order), tooltip=["series:N", "iteration:Q", alt.Tooltip("share:Q", format=".1%")],
    )  # fmt: skip
    means = rows.group_by("series", maintain_order=True).agg(pl.col("share").mean())
    said = "; ".join(f"{row['series']} {row['share']:.1%}" for row in means.to_dicts())
    return one_chart("Shares of the training batches", f"Mean shares of the batches: {said}", area, data=rows)
