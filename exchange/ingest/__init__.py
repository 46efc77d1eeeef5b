"""Imports: the logs of REINVENT and MolScore, and tables of assays, become runs with imported scores."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
