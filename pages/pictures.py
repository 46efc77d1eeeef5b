"""Pictures of molecules as SVG in a uniform style: equal bond lengths, and a shared core in the same place.

The colours of atoms are CSS variables of the page (``var(--atom-n)``, …), which sets them for light and dark ground; a
picture outside a page has the colours for light ground. The SMILES occurs only in the title of a picture, where it is
escaped.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import Any

from rdkit import Chem
from rdkit.Chem import rdDepictor, rdFMCS
from rdkit.Chem.Draw import rdMolDraw2D

from molbuffer.scoring import parse_small, scaffold_of

WIDTH, HEIGHT = 240, 180
MOST_ATOMS = 120
"""The most heavy atoms of a molecule that is drawn; larger pictures cannot be read."""
LEAST_CORE = 5
_SECONDS = 1
_BOND_PIXELS = 26.0
_ATOMS = {
    0: ("r", "#6E6E6E"),
    1: ("h", "#6E6E6E"),
    6: ("c", "#1F2328"),
    7: ("n", "#0060C0"),
    8: ("o", "#C8241B"),
    9: ("f", "#007A70"),
    15: ("p", "#B35900"),
    16: ("s", "#8A6D00"),
    17: ("cl", "#1A7F37"),
    35: ("br", "#8A4B2D"),
    53: ("i", "#7A3DB8"),
}
"""The name of the CSS variable of each element, and its colour on light ground, by atomic number."""
_NUMBER = re.compile(r"(?<=[\s,=\"'(MLQCHVZ-])(\d+\.\d)\d+")


def picture(smiles: str, *, core: Chem.Mol | None = None, width: int = WIDTH, height: int = HEIGHT) -> str | None:
    """Return a picture of a molecule as an SVG element; None if it cannot be read, or is too large.

    Args:
        smiles: the SMILES of the molecule.
        core: a core with coordinates, as ``core_of`` returns it; the common part of the molecule and the core is drawn
            in the place of the core. None does not align the picture.
        width: the width in pixels.
        height: the height in pixels.
    """
    molecule = parse_small(smiles)
    if molecule is None or not 0 < molecule.GetNumHeavyAtoms() <= MOST_ATOMS:
        return None
    _place(molecule, core)
    drawing = rdMolDraw2D.MolDraw2DSVG(width, height)
    options: Any = drawing.drawOptions()
    options.clearBackground = False
    options.padding = 0.04
    options.fixedBondLength = _BOND_PIXELS
    options.bondLineWidth = 1.6
    options.updateAtomPalette({number: _rgb(colour) for number, (_, colour) in _ATOMS.items()})
    options.prepareMolsBeforeDrawing = True
    rdMolDraw2D.PrepareAndDrawMolecule(drawing, molecule)
    drawing.FinishDrawing()
    return _element(drawing.GetDrawingText(), smiles)


def core_of(reference: str) -> Chem.Mol | None:
    """Return a molecule with coordinates as a core to align pictures to; None if it is invalid or very small."""
    molecule = parse_small(reference)
    if molecule is None or molecule.GetNumHeavyAtoms() < LEAST_CORE:
        return None
    rdDepictor.SetPreferCoordGen(False)
    rdDepictor.Compute2DCoords(molecule)
    rdDepictor.StraightenDepiction(molecule)
    return molecule


def common_core(smiles: Sequence[str]) -> Chem.Mol | None:
    """Return the most frequent scaffold of some molecules, with coordinates; None if no molecule has a ring."""
    scaffolds = [scaffold_of(molecule) for molecule in map(parse_small, smiles) if molecule is not None]
    rings = [scaffold for scaffold in scaffolds if scaffold]
    return core_of(max(rings, key=rings.count)) if rings else None


def _place(molecule: Chem.Mol, core: Chem.Mol | None) -> None:
    """Set the coordinates of a molecule; the part that it shares with a core gets the coordinates of the core."""
    if core is not None:
        found = rdFMCS.FindMCS(
            [core, molecule], timeout=_SECONDS, ringMatchesRingOnly=True, completeRingsOnly=True, maximizeBonds=False
        )
        if found.numAtoms >= LEAST_CORE:
            pattern = Chem.MolFromSmarts(found.smartsString)
            there, here = core.GetSubstructMatch(pattern), molecule.GetSubstructMatch(pattern)
            if len(there) == len(here) >= LEAST_CORE:
                pairs = list(zip(there, here, strict=True))
                rdDepictor.GenerateDepictionMatching2DStructure(molecule, core, pairs)
                return
    rdDepictor.Compute2DCoords(molecule)
    rdDepictor.StraightenDepiction(molecule)


def _rgb(colour: str) -> tuple[float, float, float]:
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue


def _element(text: str, smiles: str) -> str:
    """Return an SVG file of RDKit as an element of a page: without its header, with CSS colours and a title."""
    inside = text[text.index("<svg") :]
    inside = re.sub(r"<!--.*?-->", "", inside, flags=re.DOTALL)
    inside = re.sub(r"\s+(class|id)='[^']*'", "", inside)
    inside = re.sub(r"\s+xmlns(:\w+)?='[^']*'|\s+xml:space='[^']*'|\s+baseProfile='[^']*'", "", inside)
    inside = _NUMBER.sub(r"\1", inside)
    inside = inside.replace(";stroke-linecap:butt;stroke-linejoin:miter;stroke-opacity:1", "")
    inside = inside.replace("fill-rule:evenodd;", "")
    for name, colour in _ATOMS.values():
        inside = inside.replace(colour, f"var(--atom-{name}, {colour})")
    title = f"<title>{escape(smiles[:200])}</title>"
    head = "<svg xmlns='http://www.w3.org/2000/svg' role='img'"
    return re.sub(r"\n\s*", "\n", re.sub(r"<svg([^>]*)>", lambda found: f"{head}{found[1]}>{title}", inside, count=1))
