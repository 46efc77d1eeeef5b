"""Grammars: how a molecule becomes tokens, and tokens a molecule.

Molecules come and go as SMILES, whatever a policy speaks: the rest of the project knows no other notation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Protocol

import selfies

from molbuffer.samplers.errors import UnknownTokenError

_TOKEN = re.compile(r"\[[^\[\]]+\]|Br|Cl|%\(\d+\)|%\d{2}|[A-Za-z0-9]|[=#$:/\\\-+().~*@]")


class Grammar(Protocol):
    """A notation for molecules."""

    @property
    def name(self) -> str:
        """Under which a vocabulary is stored."""
        ...

    def split(self, smiles: str) -> list[str]:
        """Return the tokens of a molecule.

        Raises:
            UnknownTokenError: the notation cannot express it.
        """
        ...

    def join(self, tokens: Sequence[str]) -> str:
        """Return the SMILES string that tokens make, molecule or not."""
        ...


class SmilesGrammar:
    """SMILES: a token is an atom (bracket atoms, ``Cl`` and ``Br`` whole), a bond, a branch, or a ring closure."""

    name = "smiles"

    def split(self, smiles: str) -> list[str]:
        """Split a SMILES string into tokens whose concatenation is the string again."""
        tokens = _TOKEN.findall(smiles)
        if sum(map(len, tokens)) != len(smiles):
            raise UnknownTokenError(smiles, _TOKEN.sub("", smiles)[0])
        return tokens

    def join(self, tokens: Sequence[str]) -> str:
        return "".join(tokens)


class SelfiesGrammar:
    """SELFIES (Krenn et al. 2020, doi:10.1088/2632-2153/aba947): any tokens are a molecule of usual valences.

    Aromatic rings are written with alternating bonds, so that a string that was split and joined is another one of the
    same molecule.
    """

    name = "selfies"

    def split(self, smiles: str) -> list[str]:
        try:
            return list(selfies.split_selfies(selfies.encoder(smiles)))
        # Of some strings that are no molecules the encoder says so by way of an index of its own.
        except (selfies.EncoderError, LookupError, ValueError, TypeError, AttributeError) as error:
            raise UnknownTokenError(smiles, smiles) from error

    def join(self, tokens: Sequence[str]) -> str:
        return str(selfies.decoder("".join(tokens)))


SMILES, SELFIES = SmilesGrammar(), SelfiesGrammar()
GRAMMARS: Mapping[str, Grammar] = {grammar.name: grammar for grammar in (SMILES, SELFIES)}
"""The grammars by their names."""
