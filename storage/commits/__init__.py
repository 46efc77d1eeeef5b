"""The commit protocol, and the records that it writes and reads: builds, runs, scores, rewards and checkpoints."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
