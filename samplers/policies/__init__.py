"""Policies: generative models with their vocabularies and files, and the conversion of REINVENT 4 models."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
