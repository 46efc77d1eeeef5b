"""The diversity memory: the molecules of a run by buckets, and the penalties and bonuses on further rewards."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
