"""The DuckLake catalog: tables, views and migrations, transactions and snapshots. Only this package uses DuckLake."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
