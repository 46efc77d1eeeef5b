"""Pretraining: a generative model from a file of molecules or pairs, and its quality."""
