"""Recovery: makes a lost or damaged catalog anew from the files of its store, or restores it from a backup."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
