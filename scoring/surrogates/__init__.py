"""Surrogates, which predict scores from those that are known, and acquisitions, which pick by such predictions."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
