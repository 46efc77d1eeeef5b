"""Maintenance while others read and write: compaction, expiry of snapshots, vacuum, and what pins a snapshot."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
