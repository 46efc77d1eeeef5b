"""The errors of samplers, policies and builds.

SamplerError
├── UnknownTokenError     a SMILES string has a token that the vocabulary lacks
├── SmilesFileError       a file of molecules cannot be read
├── PolicyFormatError     a policy's files do not describe a model that can be built
├── UnknownPolicyNameError no bundled policy, folder or stored policy has the name
├── UnknownModelKindError no model kind has the name
├── ModelSizeError        a model of a kind cannot have a size
├── QuotaError            the shares of a batch are invalid
├── LatentsError          a source has no latent vectors that a policy can decode
├── ConditionError        a model is not given the latents or sources that it is conditioned on
├── DeviceError           a device does not exist on this machine
├── MissingExtraError     a package that is not installed by default is needed
└── DivergedPolicyError   a policy returns numbers that are no probabilities
"""

from __future__ import annotations

from pathlib import Path


class SamplerError(Exception):
    """The base class of all errors of this package."""


class UnknownTokenError(SamplerError, ValueError):
    """A SMILES string has a token that the vocabulary lacks."""

    def __init__(self, smiles: str, token: str, reason: str | None = None) -> None:
        if reason is None:
            super().__init__(f"the token {token!r} of {smiles!r} is not in the vocabulary")
        else:
            super().__init__(f"{smiles!r} cannot be expressed: {reason}")
        self.smiles = smiles
        self.token = token


class SmilesFileError(SamplerError):
    """A file of molecules cannot be read.

    Attributes:
        path: the file.
        problem: what was found, what is expected and what to do.
        line: the line of the problem, counted from 1; None if it has none.
        column: the name of a column that the file lacks, or has more than once; "" for the default column, and None for
            any other problem.
    """

    def __init__(self, path: Path, problem: str, line: int | None = None, column: str | None = None) -> None:
        super().__init__(path, problem, line, column)
        self.path = path
        self.problem = problem
        self.line = line
        self.column = column

    def __str__(self) -> str:
        return f"{self.path}{'' if self.line is None else f', line {self.line}'}: {self.problem}"


class PolicyFormatError(SamplerError):
    """A policy's files do not describe a model that can be built."""


class UnknownPolicyNameError(SamplerError):
    """No bundled policy, folder or stored policy has the name."""


class UnknownModelKindError(SamplerError):
    """No model kind has the name."""


class ModelSizeError(SamplerError, ValueError):
    """A model of a kind cannot have a requested size."""


class QuotaError(SamplerError):
    """The shares of a batch are invalid, such as shares that sum to more than 1."""


class LatentsError(SamplerError):
    """A source has no latent vectors that a policy can decode."""


class ConditionError(SamplerError, ValueError):
    """A model is not given the latents or sources that it is conditioned on."""


class DeviceError(SamplerError, ValueError):
    """A device does not exist on this machine, or the name is not that of a device."""


class MissingExtraError(SamplerError):
    """A package that molbuffer does not install by default is needed.

    Attributes:
        extra: the extra that installs it.
    """

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f'{what} needs packages that are not installed: pip install "molbuffer[{extra}]"')
        self.extra = extra


class DivergedPolicyError(SamplerError):
    """A policy returns numbers that are no probabilities, since its weights have diverged."""
