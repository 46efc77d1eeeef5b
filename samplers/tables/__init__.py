"""The tables of samplers: the keys of each kind, and the sampler that a run makes of them.

A table is light: it imports neither torch nor a model, so that a configuration is checked without them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
