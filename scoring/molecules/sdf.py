"""Records of SD files: a molecule with 2D coordinates or the coordinates of a pose, and its properties.

The format is that of BIOVIA's "CTfile formats": a title line and a connection table, then for each property a line
``> <name>``, its text and a blank line, then ``$$$$``. A name has no angle bracket, and a text no blank line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from rdkit import Chem, rdBase
from rdkit.Chem import rdDepictor

from molbuffer.scoring.molecules.parsing import parse_smiles

_BREAK = re.compile(r"[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")
_TITLE_LENGTH = 80


def sdf_record(smiles: str, properties: Mapping[str, str], title: str = "") -> str | None:
    """Return the record of a molecule; None for a string that is no molecule, or that no connection table can hold.

    Args:
        smiles: the molecule, which is not standardised.
        properties: the texts of the properties by name; line breaks in names and texts become blanks.
        title: the first line, which is cut after 80 characters.
    """
    molecule = parse_smiles(smiles)
    if molecule is None:
        return None
    try:
        with rdBase.BlockLogs():
            rdDepictor.Compute2DCoords(molecule)
            block = Chem.MolToMolBlock(molecule)
    except (ValueError, RuntimeError):
        return None
    return posed_record(block, properties, title)


def posed_record(block: str, properties: Mapping[str, str], title: str = "") -> str:
    """Return the record of a mol block with its coordinates, such as a pose.

    Args:
        block: the mol block.
        properties: as in ``sdf_record``.
        title: as in ``sdf_record``.
    """
    _, _, table = block.partition("\n")
    data = "".join(f">  <{_name(name)}>\n{_one_line(text)}\n\n" for name, text in properties.items())
    return f"{_one_line(title)[:_TITLE_LENGTH]}\n{table}{data}$$$$\n"


def _name(name: str) -> str:
    return _one_line(name).replace("<", "(").replace(">", ")")


def _one_line(text: str) -> str:
    return _BREAK.sub(" ", text)
