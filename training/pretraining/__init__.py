"""Pretraining of a generative model on a file of molecules or pairs, and the quality of the model."""
