"""The facts of a page, each a function of a ``Scope``: some runs of a store at one snapshot.

``scope`` selects the runs; ``runs`` and ``objectives`` describe them and their objectives; ``learning``, ``funnel`` and
``samplers`` describe their progress; ``molecules`` and ``lineage`` the best molecules and their origins;
``tradeoffs``, ``diversity`` and ``space`` the relations of molecules; ``failures`` and ``costs`` the scores. Rows are
aggregated in SQL. A fact that needs single molecules takes a sample, which is the same for the same snapshot, and
returns the number of all molecules.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
