"""Pictures of a run as ``data:`` addresses, which contain the picture, so that a page loads nothing from a network."""

from __future__ import annotations

import base64
from typing import Any

import polars as pl

MOLECULE_SIZE = (220, 150)
"""The width and height of a molecule, in pixels."""
CURVE_SIZE = (520, 300)
MOST_PICTURE_BYTES = 100_000
"""The most bytes of a picture; a larger one is left out."""
_ACCENT, _BAND, _BEST = "#0b6e99", "#9ccfe3", "#c2410c"


def as_address(picture: bytes, kind: str) -> str | None:
    """Return a picture as a ``data:`` address; None if it is larger than ``MOST_PICTURE_BYTES``.

    Args:
        picture: the bytes of the picture file.
        kind: the subtype of its media type, png or svg+xml.
    """
    if len(picture) > MOST_PICTURE_BYTES:
        return None
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


def molecule_picture(smiles: str) -> str | None:
    """Return the drawing of a molecule as an address; None for one that cannot be drawn."""
    from rdkit import Chem, rdBase
    from rdkit.Chem.Draw import rdMolDraw2D

    with rdBase.BlockLogs():
        molecule: Chem.Mol | None = Chem.MolFromSmiles(smiles)
        if molecule is None:
            return None
        # The background stays white also on a dark page, since the colours of atoms are chosen for white.
        drawing = rdMolDraw2D.MolDraw2DCairo(*MOLECULE_SIZE)
        rdMolDraw2D.PrepareAndDrawMolecule(drawing, molecule)
        drawing.FinishDrawing()
        return as_address(drawing.GetDrawingText(), "png")


def training_curve(rewards: pl.DataFrame) -> str | None:
    """Return a picture of the rewards of live rows over iterations: the mean, and the range of the middle 80 %.

    Args:
        rewards: columns ``iteration``, ``mean``, ``low`` and ``high`` of live rows, as ``drawn_rewards`` returns them;
            at least two rows.
    """
    import altair as alt

    base = alt.Chart(rewards.select("iteration", "mean", "low", "high"))
    across = alt.X("iteration:Q", title="iteration").axis(tickMinStep=1, format="d")
    band = base.mark_area(color=_BAND, opacity=0.5).encode(x=across, y=_upwards("low"), y2="high:Q")
    line = base.mark_line(color=_ACCENT, strokeWidth=2).encode(x=across, y=_upwards("mean"))
    return _picture(band + line, "Rewards of live draws: mean, and the middle 80 %")


def calls_curve(points: pl.DataFrame) -> str | None:
    """Return a picture of the best rewards over oracle calls: the best, and the mean of the ten best.

    Args:
        points: columns ``calls``, ``best`` and ``top_10``, as in ``CallCurve``; at least two rows.
    """
    import altair as alt

    names = {"best": "best", "top_10": "mean of the ten best"}
    long = points.rename(names).unpivot(on=list(names.values()), index="calls", variable_name="of", value_name="reward")
    colour = alt.Color("of:N", title=None, legend=alt.Legend(orient="bottom")).scale(range=[_BEST, _ACCENT])
    lines = alt.Chart(long).mark_line(strokeWidth=2, interpolate="step-after")
    encoded = lines.encode(x=alt.X("calls:Q", title="oracle calls"), y=_upwards("reward"), color=colour)
    return _picture(encoded, "Best rewards over oracle calls")


def loss_curve(losses: pl.DataFrame) -> str | None:
    """Return a picture of the loss over iterations.

    Args:
        losses: columns ``iteration`` and ``value``, as ``learning_curve`` returns them; at least two rows.
    """
    import altair as alt

    line = alt.Chart(losses.select("iteration", "value")).mark_line(color=_ACCENT, strokeWidth=2)
    across, upwards = (
        alt.X("iteration:Q", title="iteration").axis(tickMinStep=1, format="d"),
        alt.Y("value:Q", title="loss").scale(zero=False),
    )
    return _picture(line.encode(x=across, y=upwards), "Loss")


def _upwards(column: str) -> Any:
    import altair as alt

    return alt.Y(f"{column}:Q", title="reward").scale(domain=[0, 1])


def _picture(chart: Any, title: str) -> str | None:
    import vl_convert

    width, height = CURVE_SIZE
    made = chart.properties(width=width, height=height, title=title, background="white", padding=12)
    # Letters stay legible when the page on a telephone makes the picture smaller.
    made = made.configure_axis(labelFontSize=14, titleFontSize=15).configure_title(fontSize=16)
    made = made.configure_legend(labelFontSize=14)
    # A PNG of the same chart has ten times as many bytes.
    return as_address(vl_convert.vegalite_to_svg(made.to_dict()).encode(), "svg+xml")
