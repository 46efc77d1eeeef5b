"""A campaign: the settings of a configuration as samplers, objective, pipeline and training over a store."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
