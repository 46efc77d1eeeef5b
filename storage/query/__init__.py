"""Queries of users: SQL in a closed database and a process of its own, predicates over rows, and exports."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
