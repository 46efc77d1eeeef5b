from .details import molecule_details
from .elements import Cards, by_label, drawn_chart
from .export import FORMATS, Selection, as_csv, as_sdf, as_smiles
from .filters import Interval, MoleculeFilter, Order, drawn_box
from .grid import FoundMolecule, MoleculePage, find_molecules
from .html import block, error, heading, note, style
from .neighbours import Neighbourhood
from .page import (
    HINT,
    export_title,
    filter_of,
    find_or_say,
    found_title,
    molecule_charts,
    neighbours_of,
    title,
)
from .queries import EXAMPLE, Answer, run_query
from .runs import MOST_RUNS, comparison, comparison_charts, draws_nothing, live_charts, live_status
from .serve import AddressError, edit, explore, is_loopback, notebook
from .session import News, Session
from .view import Choices, StoreView

__all__ = [
    "EXAMPLE",
    "FORMATS",
    "HINT",
    "MOST_RUNS",
    "AddressError",
    "Answer",
    "Cards",
    "Choices",
    "FoundMolecule",
    "Interval",
    "MoleculeFilter",
    "MoleculePage",
    "Neighbourhood",
    "News",
    "Order",
    "Selection",
    "Session",
    "StoreView",
    "as_csv",
    "as_sdf",
    "as_smiles",
    "block",
    "by_label",
    "comparison",
    "comparison_charts",
    "drawn_box",
    "drawn_chart",
    "draws_nothing",
    "edit",
    "error",
    "explore",
    "export_title",
    "filter_of",
    "find_molecules",
    "find_or_say",
    "found_title",
    "heading",
    "is_loopback",
    "live_charts",
    "live_status",
    "molecule_charts",
    "molecule_details",
    "neighbours_of",
    "note",
    "notebook",
    "run_query",
    "style",
    "title",
]
