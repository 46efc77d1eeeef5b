"""The indexes of a store that are in use, so that the next one of the same kind is brought forward from it."""

from __future__ import annotations

from collections.abc import Hashable
from weakref import WeakValueDictionary

from molbuffer.storage.handle import OpenStore
from molbuffer.storage.history.cache import DecodedCache
from molbuffer.storage.history.index import HistoryIndex, IndexScope


class KnownIndexes:
    """Reads indexes of a store, and remembers each for as long as somebody has it.

    Args:
        store: the store.
    """

    def __init__(self, store: OpenStore) -> None:
        self._store = store
        # An index of 10,000,000 rows takes 330 MB: no longer than a training needs it anyway.
        self._last: WeakValueDictionary[Hashable, HistoryIndex] = WeakValueDictionary()

    def load(self, scope: IndexScope, cache: DecodedCache | None = None) -> HistoryIndex:
        """Return what ``HistoryIndex.load`` returns."""
        cache = cache or DecodedCache(self._store.cache_key, self._store.layout.arrays)
        kind = (scope.kind, cache)
        index = HistoryIndex.load(self._store, scope, cache, self._last.get(kind))
        if scope.more_rewards is None:
            self._last[kind] = index
        return index
