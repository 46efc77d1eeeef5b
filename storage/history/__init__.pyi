from .cache import DecodedCache
from .index import HistoryIndex, IndexScope
from .scan import keys_of

__all__ = [
    "DecodedCache",
    "HistoryIndex",
    "IndexScope",
    "keys_of",
]
