"""Molecules that a reader has selected, as a file: CSV, SDF or SMILES."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import polars as pl

from molbuffer.pages.explorer.grid import FoundMolecule
from molbuffer.scoring import sdf_record

MOST_EXPORTED = 10_000
"""The most molecules of an export of all filtered molecules; ``molbuffer export`` writes more."""


class Selection:
    """The molecules that a reader has selected, in the order of their selection."""

    def __init__(self) -> None:
        self._chosen: dict[str, FoundMolecule] = {}

    def __len__(self) -> int:
        return len(self._chosen)

    def __contains__(self, smiles: object) -> bool:
        return smiles in self._chosen

    def mark(self, molecule: FoundMolecule, chosen: bool) -> None:
        """Add a molecule to the selection, or remove it if ``chosen`` is false."""
        if chosen:
            self._chosen[molecule.smiles] = molecule
        else:
            self._chosen.pop(molecule.smiles, None)

    def clear(self) -> None:
        """Remove all molecules from the selection."""
        self._chosen.clear()

    def molecules(self) -> list[FoundMolecule]:
        """Return the selected molecules."""
        return list(self._chosen.values())


def as_csv(molecules: Iterable[FoundMolecule]) -> bytes:
    """Return molecules as a CSV file, with the fields of ``FoundMolecule`` as columns."""
    rows = [asdict(molecule) for molecule in molecules]
    return pl.DataFrame(rows, schema=_COLUMNS).write_csv().encode()


def as_smiles(molecules: Iterable[FoundMolecule]) -> bytes:
    """Return molecules as a SMILES file: one molecule a line, without names."""
    return "".join(f"{molecule.smiles}\n" for molecule in molecules).encode()


def as_sdf(molecules: Iterable[FoundMolecule]) -> bytes:
    """Return molecules as an SD file, with the columns of the CSV file as properties; invalid SMILES are left out."""
    records = (sdf_record(molecule.smiles, _texts(asdict(molecule))) for molecule in molecules)
    return "".join(record for record in records if record is not None).encode()


FORMATS = {"csv": (as_csv, "text/csv"), "sdf": (as_sdf, "chemical/x-mdl-sdfile"), "smi": (as_smiles, "text/plain")}
"""The function that writes a file of molecules, and its media type, by the ending of the file."""


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
