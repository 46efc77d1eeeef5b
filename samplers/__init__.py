"""Samplers, generative models, and the builds that samplers make.

The nine samplers are the modules at the top. ``models`` has the generative models, ``policies`` a model with its
vocabulary and files, ``tokens`` the vocabulary, ``latents`` latent priors and vectors, ``files`` the readers of files
of molecules, and ``builds`` the steps from a draw to a build: standardise, filter, score.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
