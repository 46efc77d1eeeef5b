"""Molecules that a reader has selected, as a file: CSV, SDF or SMILES."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import polars as pl

from molbuffer.pages.explorer.grid import FoundMolecule
from molbuffer.scoring import sdf_record

MOST_EXPORTED = 10_000
"""The molecules that are exported when all of a filter are; ``molbuffer export`` writes more."""


class Selection:
    """The molecules that a reader has selected, in the order in which that was done."""

    def __init__(self) -> None:
        self._chosen: dict[str, FoundMolecule] = {}

    def __len__(self) -> int:
        return len(self._chosen)

    def __contains__(self, smiles: object) -> bool:
        return smiles in self._chosen

    def mark(self, molecule: FoundMolecule, chosen: bool) -> None:
        """Select a molecule, or no longer."""
        if chosen:
            self._chosen[molecule.smiles] = molecule
        else:
            self._chosen.pop(molecule.smiles, None)

    def clear(self) -> None:
        """Select nothing."""
        self._chosen.clear()

    def molecules(self) -> list[FoundMolecule]:
        """Return what is selected."""
        return list(self._chosen.values())


def as_csv(molecules: Iterable[FoundMolecule]) -> bytes:
    """Return molecules as CSV, with their rewards and where they were drawn."""
    rows = [asdict(molecule) for molecule in molecules]
    return pl.DataFrame(rows, schema=_COLUMNS).write_csv().encode()


def as_smiles(molecules: Iterable[FoundMolecule]) -> bytes:
    """Return molecules as a SMILES file: one in each line, without a name."""
    return "".join(f"{molecule.smiles}\n" for molecule in molecules).encode()


def as_sdf(molecules: Iterable[FoundMolecule]) -> bytes:
    """Return molecules as an SD file, with what CSV has as properties; strings that are no molecule are left out."""
    records = (sdf_record(molecule.smiles, _texts(asdict(molecule))) for molecule in molecules)
    return "".join(record for record in records if record is not None).encode()


FORMATS = {"csv": (as_csv, "text/csv"), "sdf": (as_sdf, "chemical/x-mdl-sdfile"), "smi": (as_smiles, "text/plain")}
"""How molecules are written, and the media type, by the ending of the file."""


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items() if value is not None}


_COLUMNS: Mapping[str, Any] = {
    "smiles": pl.String,
    "reward": pl.Float64,
    "iteration": pl.Int64,
    "run_name": pl.String,
    "sampler": pl.String,
    "times_drawn": pl.Int64,
    "created": pl.Datetime("us"),
}
