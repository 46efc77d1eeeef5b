"""The generative models, one a file, behind one protocol, and the decoding loop that all of them share."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
