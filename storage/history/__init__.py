"""The history for training: the index of stored rows, selections from it, and the decoded cache of their arrays."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
