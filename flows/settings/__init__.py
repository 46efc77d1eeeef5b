"""The configuration: the tables and keys of a TOML file, its checks, its errors, and its JSON schema."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
