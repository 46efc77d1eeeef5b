"""Segments: one immutable Zarr group of token arrays for each commit. No other room knows Zarr."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
