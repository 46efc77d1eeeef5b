"""Latent vectors: the latent priors they are drawn from, given vectors, their versions and their decoding."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
