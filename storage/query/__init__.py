"""Queries of users: SQL in an isolated database and process, predicates over rows, and exports."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
