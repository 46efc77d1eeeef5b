"""The command ``poses``: the poses of docked molecules as an SD file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from molbuffer.flows.cli.common.notes import note
from molbuffer.flows.cli.common.options import OutOption, StoreOption
from molbuffer.flows.cli.common.output import write_text
from molbuffer.flows.errors import UsageError

if TYPE_CHECKING:
    import polars

    from molbuffer.storage import SampleStore


def add_commands(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(epilog="Example: molbuffer poses --store lab -n 20 --out best.sdf")(poses)


def poses(
    store: StoreOption,
    molecules: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SMILES]...", help="Only the poses of these molecules, as any SMILES; default: the best."
        ),
    ] = None,
    n: Annotated[int, typer.Option("-n", min=1, help="The number of molecules, if none is named.")] = 10,
    component: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only poses of this component; default: of all components.")
    ] = None,
    out: OutOption = None,
) -> None:
    """Write the poses of docked molecules as an SD file, in the coordinates of the receptor.

    The poses of each component and version follow one another, those of lowest energy first. A record has the SMILES,
    the value, and the name and version of the component.
    """
    if out is not None and out.suffix.lower() not in (".sdf", ".sd"):
        raise UsageError(f"poses are written as an SD file, got --out {out}; expected a name that ends in .sdf")
    from molbuffer.scoring import posed_record
    from molbuffer.storage import SampleStore

    with SampleStore.open(store, read_only=True) as opened:
        found = _found(opened, n, component, _canonical(molecules or []))
    records = [
        posed_record(
            row["pose"],
            {"SMILES": row["smiles"], **{name: str(row[name]) for name in ("value", "component", "version")}},
            row["smiles"],
        )
        for row in found.to_dicts()
    ]
    write_text("".join(records), out)
    note(
        f"{len(records)} {'pose' if len(records) == 1 else 'poses'}"
        if records
        else "no poses"
        + (" of these molecules" if molecules else "")
        + ": a component of kind vina stores a pose with each score, under the molecule's canonical SMILES"
    )


def _canonical(texts: list[str]) -> list[str]:
    from molbuffer.scoring import Standardisation, standardise_smiles

    # Stored SMILES may have been standardised in another way, so the query looks for both forms.
    found = []
    for text in texts:
        name = standardise_smiles(text, Standardisation())
        if name is None:
            raise UsageError(f"{text!r} is no molecule; expected a SMILES string")
        found += [name, text]
    return found


def _found(store: SampleStore, n: int, component: str | None, molecules: list[str]) -> polars.DataFrame:
    """Return the best ``n`` poses of each component and version, or all poses of given molecules, the best first."""
    return store.query(
        """SELECT smiles, component, version, value, pose FROM scored_poses
        WHERE (component = $component OR $component IS NULL) AND ($every OR smiles IN (SELECT unnest($molecules)))
        QUALIFY NOT $every OR row_number() OVER (PARTITION BY component, version ORDER BY value, smiles) <= $n
        ORDER BY component, version, value, smiles""",
        {"component": component, "every": not molecules, "molecules": molecules, "n": n},
    )
