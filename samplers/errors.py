"""What can go wrong while drawing samples.

SamplerError
├── UnknownTokenError     a SMILES string has a token that the vocabulary lacks
├── SmilesFileError       a file of molecules cannot be read
├── PolicyFormatError     a policy's files do not describe a model we can build
├── UnknownPolicyNameError    no policy goes by a name
├── UnknownModelKindError no architecture goes by a name
├── ModelSizeError        an architecture cannot have a size
├── QuotaError            shares of a batch cannot be met
├── LatentsError          there are no latent vectors that a policy can decode where they were looked for
├── ConditionError        a model is not given the latents or sources that it takes
└── DivergedPolicyError   a policy gives numbers that are no probabilities
"""

from __future__ import annotations


class SamplerError(Exception):
    """Anything that goes wrong while drawing samples."""


class UnknownTokenError(SamplerError, ValueError):
    """A SMILES string has a token that the vocabulary lacks."""

    def __init__(self, smiles: str, token: str) -> None:
        super().__init__(f"the token {token!r} of {smiles!r} is not in the vocabulary")
        self.smiles = smiles
        self.token = token


class SmilesFileError(SamplerError):
    """A file of molecules cannot be read."""


class PolicyFormatError(SamplerError):
    """A policy's files do not describe a model that can be built."""


class UnknownPolicyNameError(SamplerError):
    """No policy goes by a name."""


class UnknownModelKindError(SamplerError):
    """No architecture goes by a name."""


class ModelSizeError(SamplerError, ValueError):
    """An architecture cannot have a size that was asked for."""


class QuotaError(SamplerError):
    """Shares of a batch cannot be met."""


class LatentsError(SamplerError):
    """There are no latent vectors that a policy can decode where they were looked for."""


class ConditionError(SamplerError, ValueError):
    """A model is not given the latents or sources that it takes."""


class DivergedPolicyError(SamplerError):
    """A policy gives numbers that are no probabilities, since its weights have grown beyond all bounds."""
