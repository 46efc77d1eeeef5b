"""``molbuffer kinds``: list the kinds that a configuration can name, and the package that each comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from molbuffer.flows.cli.common.options import JsonOption
from molbuffer.flows.cli.common.output import as_json, write_frame, write_text

if TYPE_CHECKING:
    from molbuffer.kinds import Family


def add_commands(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(epilog="Example: molbuffer kinds")(kinds)


def kinds(json: JsonOption = False) -> None:
    """List the kinds of all families, from samplers and losses to surrogates of screening, with their packages.

    A kind that cannot be used is listed with the reason. A class in a file of your own is a kind of any family, too:
    kind = "python", object = "my_module:MySampler".
    """
    import polars

    rows = [row for family in families() for row in _rows(family)] + _stray_rows()
    if json:
        write_text(as_json(rows))
        return
    from molbuffer.flows.cli.common.formats import Format

    frame = polars.DataFrame(rows, infer_schema_length=None)
    write_frame(frame.drop("problem") if frame["problem"].null_count() == len(frame) else frame, Format.TABLE)


def families() -> list[Family]:
    """Return all families, in the order in which a configuration has them."""
    from molbuffer.exchange import LOGGERS
    from molbuffer.samplers import SAMPLERS
    from molbuffer.samplers.models import MODELS
    from molbuffer.scoring import ACQUISITIONS, CHOICES, COMPONENTS, FILTERS, SURROGATES, TRANSFORMS
    from molbuffer.storage import SELECTIONS
    from molbuffer.training import LOSSES

    of_scoring = [COMPONENTS, TRANSFORMS, FILTERS, CHOICES, SURROGATES, ACQUISITIONS]
    return [*of_scoring, SAMPLERS, SELECTIONS, LOSSES, MODELS, LOGGERS]


def _rows(family: Family) -> list[dict[str, str | None]]:
    found = []
    for kind in family.registered:
        taken = family.kinds[kind.name]
        problem = kind.problem if taken is kind else f"the name is taken by a kind of {taken.source}"
        found.append(
            {"family": family.name, "kind": kind.name, "from": kind.source, "class": kind.value, "problem": problem}
        )
    return found


def _stray_rows() -> list[dict[str, str | None]]:
    """Return a row for each kind that a package registers for an unknown family, which nothing else reports."""
    from molbuffer.flows.settings import did_you_mean
    from molbuffer.kinds import stray_entries

    names = [family.name for family in families()]
    return [
        {
            "family": each.family,
            "kind": each.name,
            "from": each.source,
            "class": each.value,
            "problem": f"there is no family of this name, expected the group molbuffer.FAMILY of one of: "
            f"{', '.join(names)}{did_you_mean(each.family, names).removesuffix('.')}",
        }
        for each in stray_entries(families())
    ]
