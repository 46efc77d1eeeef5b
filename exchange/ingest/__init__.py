"""Imports: the logs of REINVENT and MolScore, and tables of assays, as runs with scores that others have given."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
