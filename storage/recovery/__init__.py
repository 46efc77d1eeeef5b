"""Recovery: a catalog that is lost or damaged is made anew from the files of its store, or restored from a backup."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
