"""Encoding of molecules as token ids: the vocabulary, and the grammars of SMILES, SELFIES and learnt tokenizers."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
