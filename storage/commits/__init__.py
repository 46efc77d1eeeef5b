"""The commit protocol, and what is written and read by it: builds, runs, scores, rewards and checkpoints."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
