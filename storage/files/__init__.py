"""Files and folders, local or in an object store: paths, durable writes and checksums."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
