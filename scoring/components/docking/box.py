"""The box in which molecules are docked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, rdBase

from molbuffer.scoring.errors import ScoringConfigurationError

LARGEST_SIDE = 126.0
"""Å: the grid of a larger box would take gigabytes."""
REACH = 8.0
"""Å: the range of Vina's scoring function, beyond which an atom of the receptor has no effect."""


@dataclass(frozen=True)
class Box:
    """An axis-aligned box.

    Attributes:
        center: the centre of the box in Å.
        size: the sides of the box in Å.
    """

    center: tuple[float, float, float]
    size: tuple[float, float, float]


def box_around(path: Path, margin: float) -> Box:
    """Return the box around the heavy atoms of a ligand that lies in the pocket.

    Args:
        path: an SDF, MOL, MOL2, PDB or PDBQT file; of several molecules the first is used.
        margin: the distance of the walls from the outermost atoms in Å.

    Raises:
        ScoringConfigurationError: the file cannot be read, or has no atoms with three coordinates.
    """
    positions = _ligand_positions(path)
    low, high = positions.min(axis=0) - margin, positions.max(axis=0) + margin
    return make_box((low + high) / 2, high - low)


def make_box(center: Sequence[float] | NDArray[np.float64], size: Sequence[float] | NDArray[np.float64]) -> Box:
    """Return a box, with numbers rounded to thousandths of an Å, as PDB files have them.

    Raises:
        ScoringConfigurationError: a number is not finite, or a side is not in (0, ``LARGEST_SIDE``].
    """
    for name, numbers in (("center", center), ("size", size)):
        if len(numbers) != 3 or not all(math.isfinite(number) for number in numbers):
            raise ScoringConfigurationError(f"the {name} of a box needs three numbers in Å, got {list(numbers)}")
    if not all(0 < side <= LARGEST_SIDE for side in size):
        raise ScoringConfigurationError(
            f"the sides of a box must be above 0 and at most {LARGEST_SIDE:g} Å, got {[float(side) for side in size]}"
        )
    x, y, z = (round(float(number), 3) for number in center)
    a, b, c = (round(float(side), 3) for side in size)
    return Box((x, y, z), (a, b, c))


def check_overlap(box: Box, positions: NDArray[np.float64]) -> None:
    """Refuse a box that is far from all atoms of the receptor: every molecule would have an energy of 0.

    Args:
        box: the box.
        positions: the coordinates of the receptor's atoms [atoms, 3].

    Raises:
        ScoringConfigurationError: the box is outside the receptor.
    """
    outside = np.abs(positions - np.array(box.center)) - np.array(box.size) / 2
    if not (outside.max(axis=1) <= REACH).any():
        low, high = positions.min(axis=0).round(1).tolist(), positions.max(axis=0).round(1).tolist()
        raise ScoringConfigurationError(
            f"the box at {list(box.center)} with sides {list(box.size)} is outside the receptor, whose atoms are "
            f"between {low} and {high}: are both in the same coordinates?"
        )


def _ligand_positions(path: Path) -> NDArray[np.float64]:
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text file"
        raise ScoringConfigurationError(f"the ligand {path} cannot be read: {reason}") from error
    if path.suffix.lower() in (".pdb", ".pdbqt"):
        positions = _pdb_positions(text)
    else:
        positions = _mol_positions(text, path.suffix.lower())
    if len(positions) == 0 or not np.isfinite(positions).all() or (len(positions) > 1 and not positions.any()):
        raise ScoringConfigurationError(
            f"the ligand {path} has no atoms with coordinates: expected an SDF, MOL, MOL2, PDB or PDBQT file of a "
            "molecule in the pocket"
        )
    return positions


def _pdb_positions(text: str) -> NDArray[np.float64]:
    """Return the coordinates [atoms, 3] of the heavy atoms of the first model; [0, 3] if one cannot be read."""
    found = []
    for line in text.splitlines():
        if line.startswith("ENDMDL"):
            break
        if line.startswith(("ATOM", "HETATM")) and not line[12:16].strip().lstrip("0123456789").startswith("H"):
            try:
                found.append([float(line[start : start + 8]) for start in (30, 38, 46)])
            except ValueError:
                return np.zeros((0, 3))
    return np.array(found, dtype=np.float64).reshape(-1, 3)


def _mol_positions(text: str, suffix: str) -> NDArray[np.float64]:
    with rdBase.BlockLogs():
        if suffix == ".mol2":
            molecule = Chem.MolFromMol2Block(text, sanitize=False, removeHs=False)
        else:
            molecule = Chem.MolFromMolBlock(text, sanitize=False, removeHs=False)
    if molecule is None or molecule.GetNumConformers() == 0 or not molecule.GetConformer().Is3D():
        return np.zeros((0, 3))
    heavy = [atom.GetIdx() for atom in molecule.GetAtoms() if atom.GetAtomicNum() > 1]
    positions: NDArray[np.float64] = molecule.GetConformer().GetPositions()[heavy]
    return positions
