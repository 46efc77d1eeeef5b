"""Losses: one function for each, with its formula and its paper, and a class, the kind that a configuration names.

Names: ``agent`` (π) is the policy in training, ``prior`` the fixed policy that the loss keeps it close to,
``behaviour`` (μ) the behaviour policy of a row. Log-likelihoods [n] are of whole sequences, END included;
log-probabilities [n, L] are of their tokens, 0 after the end. Both are in nats. Those of the agent and the prior are at
temperature 1 and of all tokens; those of the behaviour policy have the temperature and truncation of the draws. A
configuration is read with these modules, which therefore import torch only inside functions.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
