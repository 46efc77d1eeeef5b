"""The history as training reads it: the index of stored rows, selections from it, the decoded cache of arrays."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
