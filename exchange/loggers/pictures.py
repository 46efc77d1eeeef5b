"""Grids of molecules as PNG, for loggers that show pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rdkit import Chem, rdBase
from rdkit.Chem.Draw import rdMolDraw2D

COLUMNS = 4
CELL_WIDTH, CELL_HEIGHT = 250, 210


def molecule_grid(rewards: Mapping[str, float]) -> tuple[bytes, int, int]:
    """Return a picture of molecules with their rewards in PNG, and its width and height in pixels.

    Args:
        rewards: the reward of each molecule by SMILES, in the order of the picture.
    """
    with rdBase.BlockLogs():
        drawn = [Chem.MolFromSmiles(smiles) for smiles in rewards]
    rows = -(-len(drawn) // COLUMNS)
    width, height = min(len(drawn), COLUMNS) * CELL_WIDTH, rows * CELL_HEIGHT
    drawer = rdMolDraw2D.MolDraw2DCairo(width, height, CELL_WIDTH, CELL_HEIGHT)
    # The stubs of RDKit give a numeric option the type of the whole options object.
    options: Any = drawer.drawOptions()
    options.legendFontSize = 18
    options.legendFraction = 0.12
    options.padding = 0.06
    drawer.DrawMolecules(drawn, legends=[f"{reward:.3f}" for reward in rewards.values()])
    drawer.FinishDrawing()
    return drawer.GetDrawingText(), width, height
