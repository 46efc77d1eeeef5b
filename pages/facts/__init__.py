"""What a page tells, each fact one function over a ``Scope``: some runs of a store, as of one snapshot.

``scope`` names the runs; ``runs`` and ``objectives`` say what was run for what; ``learning``, ``funnel`` and
``samplers`` how it went; ``molecules`` and ``lineage`` what came out and from where; ``tradeoffs``, ``diversity`` and
``space`` how the molecules relate; ``failures`` and ``costs`` what it took. Rows are aggregated in SQL. Where a fact
needs molecules one by one, it takes a sample of them that is the same for the same snapshot, and says how many.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
