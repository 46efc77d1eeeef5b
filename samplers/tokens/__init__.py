"""Strings to token ids and back: the vocabulary, and the grammars of SMILES and SELFIES."""
