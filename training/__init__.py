"""Losses, the mixed loader and the fit loops."""
