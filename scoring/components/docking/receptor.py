"""The receptor of a docking: a rigid PDBQT file, read and checked before any molecule is docked into it."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from molbuffer.scoring.errors import ScoringConfigurationError

ATOM_TYPES = frozenset(
    {
        *("C", "A", "N", "NA", "NS", "O", "OA", "OS", "S", "SA", "P", "H", "HD", "HS", "F", "Cl", "CL", "Br", "BR"),
        *("I", "Si", "At", "Mg", "MG", "Mn", "MN", "Zn", "ZN", "Ca", "CA", "Fe", "FE"),
    }
)
"""The AutoDock types of receptor atoms that Vina knows."""
_POLAR_HYDROGENS = frozenset({"HD", "HS"})
_LIGAND_RECORDS = ("ROOT", "BRANCH", "TORSDOF")
_MOST_BYTES = 100 << 20


@dataclass(frozen=True, eq=False)
class Receptor:
    """A rigid receptor.

    Attributes:
        text: the text of the PDBQT file.
        positions: float64 [atoms, 3], the coordinates of the atoms in Å.
    """

    text: str
    positions: NDArray[np.float64]

    @property
    def sha256(self) -> str:
        """The sha256 of the file."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def read_receptor(path: Path) -> Receptor:
    """Read a receptor.

    Raises:
        ScoringConfigurationError: the file cannot be read, is no PDBQT file of a rigid receptor, has atoms that Vina
            does not know, or no polar hydrogens, without which Vina would find no donors of hydrogen bonds.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ScoringConfigurationError(f"the receptor {path} is larger than {_MOST_BYTES >> 20} MB")
        text = path.read_text(encoding="utf-8", errors="strict")
    except OSError as error:
        raise ScoringConfigurationError(f"the receptor {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ScoringConfigurationError(f"the receptor {path} is no text file: expected a PDBQT file") from error
    return Receptor(text, _positions(text, path))


def _positions(text: str, path: Path) -> NDArray[np.float64]:
    positions, types = [], set[str]()
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith(_LIGAND_RECORDS):
            raise ScoringConfigurationError(
                f"{path}, line {number}, has {line.split()[0]}, so that it is a ligand or has flexible residues: "
                "expected the PDBQT file of a rigid receptor"
            )
        if not line.startswith(("ATOM", "HETATM")):
            continue
        try:
            position = tuple(float(line[start : start + 8]) for start in (30, 38, 46))
        except ValueError:
            position = (math.nan,) * 3
        kind = line[77:79].strip()
        if not all(map(math.isfinite, position)) or kind not in ATOM_TYPES:
            raise ScoringConfigurationError(
                f"{path}, line {number}: expected an atom with coordinates and an AutoDock type in columns 78 and 79, "
                f"got {line.rstrip()!r}; prepare the receptor with mk_prepare_receptor.py of meeko"
            )
        positions.append(position)
        types.add(kind)
    if not positions:
        raise ScoringConfigurationError(f"{path} has no atoms: expected the PDBQT file of a rigid receptor")
    if not types & _POLAR_HYDROGENS:
        raise ScoringConfigurationError(
            f"the receptor {path} has no polar hydrogens (atoms of type HD), so that none of its atoms would give a "
            "hydrogen bond; prepare it with mk_prepare_receptor.py of meeko"
        )
    return np.array(positions, dtype=np.float64)
