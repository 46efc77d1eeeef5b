from .base import SELECTIONS, Positions, SelectableRows, Selection, WeighingSelection, weights_of
from .candidates import AboveQuantile, BelowQuantile, ConsumeOnce, EachMolecule, Recent, TopK, Uniform
from .mixture import Mixture, MixturePart
from .ranked import Prioritized, RankWindow
from .subset import RowsSubset, WithinLag, WithoutRows

__all__ = [
    "SELECTIONS",
    "AboveQuantile",
    "BelowQuantile",
    "ConsumeOnce",
    "EachMolecule",
    "Mixture",
    "MixturePart",
    "Positions",
    "Prioritized",
    "RankWindow",
    "Recent",
    "RowsSubset",
    "SelectableRows",
    "Selection",
    "TopK",
    "Uniform",
    "WeighingSelection",
    "WithinLag",
    "WithoutRows",
    "weights_of",
]
