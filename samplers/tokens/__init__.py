"""Strings to token ids and back: the vocabulary, and the grammars of SMILES and SELFIES."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
