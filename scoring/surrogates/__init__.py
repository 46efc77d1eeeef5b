"""Surrogates, which predict scores from known scores, and acquisitions, which pick molecules by the predictions."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
