"""The diversity memory: the molecules that a run has found by buckets, and what the learner is given for one more."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
