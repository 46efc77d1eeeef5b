"""The indexes of a store that are in use, from which the next index of the same kind is updated."""

from __future__ import annotations

from collections.abc import Hashable
from weakref import WeakValueDictionary

from molbuffer.storage.handle import OpenStore
from molbuffer.storage.history.cache import DecodedCache
from molbuffer.storage.history.index import HistoryIndex, IndexScope


class KnownIndexes:
    """A reader of the indexes of a store, which remembers each index for as long as it is referenced.

    Args:
        store: the store.
    """

    def __init__(self, store: OpenStore) -> None:
        self._store = store
        # Weak references: an index of 10,000,000 rows takes 330 MB, and is freed when the training no longer needs it.
        self._last: WeakValueDictionary[Hashable, HistoryIndex] = WeakValueDictionary()

    def load(self, scope: IndexScope, cache: DecodedCache | None = None) -> HistoryIndex:
        """Return the index of a scope, as ``HistoryIndex.load`` does."""
        cache = cache or DecodedCache(self._store.cache_key, self._store.layout.arrays)
        kind = (scope.kind, cache)
        index = HistoryIndex.load(self._store, scope, cache, self._last.get(kind))
        if scope.more_rewards is None:
            self._last[kind] = index
        return index
