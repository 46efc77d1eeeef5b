"""Recurrent layers over rows of different lengths: what is computed when, the products, the layers."""
