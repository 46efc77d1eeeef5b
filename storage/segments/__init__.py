"""Segments: one immutable Zarr group of token arrays for each commit. No other room knows Zarr."""
