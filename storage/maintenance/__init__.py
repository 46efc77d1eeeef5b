"""Maintenance of a store in use: compaction, expiry of snapshots, vacuum, and the pins of snapshots."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
