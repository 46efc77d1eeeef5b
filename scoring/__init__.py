"""Molecules, filters, score components, transforms and objectives.

Parsing and standardisation are in ``molecules``, what computes a raw score is in ``components``, the graph genetic
algorithm in ``genetic``, and the processes that share work in ``workers``. The room knows neither torch nor the store.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
