"""Files of molecules: readers of several formats in bounded memory, and draws of each row once an epoch."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
