"""Exports: a store as a data set that other programs load, of Minari for offline learning and of Hugging Face."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
