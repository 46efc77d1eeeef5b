"""Losses: one function each, with its formula and its paper, and beside it the kind that a configuration names.

Names: ``agent`` (π) is the policy in training, ``prior`` the fixed policy that it is held to, ``behaviour`` (μ)
whichever policy drew a row. Log-likelihoods [n] are of whole sequences, END included; log-probabilities [n, L] of their
tokens, 0 after the end. Both are in nats; those of agent and prior are untempered and untruncated, those of the
behaviour as the rows were drawn. Kinds are read with a configuration, so these modules import torch where they need it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
