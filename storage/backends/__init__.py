"""The databases that keep a catalog, SQLite or Postgres, and the DuckDB database that attaches them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
