"""Verification: finds damaged and missing data in a store or an archive, and puts damaged segments in quarantine."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
