"""Scores of molecules: look-up, computation in the order of gates and cost, and claims of expensive scores."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
