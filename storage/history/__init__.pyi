from .cache import DecodedCache
from .index import HistoryIndex, IndexScope
from .known_indexes import KnownIndexes
from .scan import keys_of

__all__ = [
    "DecodedCache",
    "HistoryIndex",
    "IndexScope",
    "KnownIndexes",
    "keys_of",
]
