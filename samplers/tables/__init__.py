"""The tables of samplers: the configuration keys of each kind, from which a run makes the sampler.

A table imports neither torch nor a model, so that a configuration is checked quickly.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
