"""Files of molecules: reading any format in bounded memory, and drawing each row once an epoch."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
