"""A policy: a generative model with its vocabulary, its files and hash, and those of REINVENT 4."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
