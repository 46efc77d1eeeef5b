"""Recurrent layers over rows of different lengths: packing, matrix products, layers, and states of draws."""
