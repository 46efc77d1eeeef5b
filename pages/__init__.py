"""Pages for people that show, from the store alone, what runs have drawn, scored and learned.

``facts`` has one small function for each fact of a page, which aggregates in SQL over the store at one snapshot.
``charts`` draws charts of facts, ``pictures`` draws molecules, and ``report`` writes both as one HTML file, which makes
no network requests. Artifacts and the explorer use the same ``facts``, so that all show the same numbers. The package
imports neither torch nor Prefect, and uses DuckDB only through ``molbuffer.storage``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
