"""Losses, the mixed loader, the fit loop, and pretraining.

``losses`` is the heart of the room. ``batches`` mixes live and stored rows, ``fit`` takes the training steps and writes
the history of the run, ``latents`` trains latent priors and vectors, ``pretraining`` makes a prior from a file.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
