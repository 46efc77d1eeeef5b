"""Verification: finds what is damaged or lost in a store or an archive, and sets damaged segments aside."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
