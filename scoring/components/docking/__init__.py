"""Docking: molecules prepared by RDKit and meeko are placed into a receptor by AutoDock Vina."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
