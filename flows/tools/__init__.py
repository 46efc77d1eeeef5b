"""The work of commands without a flow: score or draw molecules, find pairs, import a prior, the demonstration."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
