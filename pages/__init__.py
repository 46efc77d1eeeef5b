"""What people look at: pages that say, from the store alone, what runs have drawn, scored and learnt.

``facts`` has what a page tells, one small function for each fact: SQL over the store as of one snapshot, aggregated
there. ``charts`` draws them, ``pictures`` draws molecules, and ``report`` puts them together as one HTML file that no
request leaves. Whatever else shows runs to people, such as artifacts, loggers and the explorer, asks ``facts``, so that
all of them say the same. The room knows neither torch nor Prefect, and DuckDB only through ``molbuffer.storage``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
