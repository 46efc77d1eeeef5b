"""The generative models, one in each file, with a common base class and a common decoding loop."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
