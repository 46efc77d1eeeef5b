"""Losses, the mixed loader, the fit loop, and pretraining.

``losses`` are the functions that a policy learns by. ``batches`` mixes live and stored rows, ``fit`` takes the training
steps and writes the history of the run, ``latents`` trains latent priors and latent vectors, ``pretraining`` makes a
prior from a file.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
