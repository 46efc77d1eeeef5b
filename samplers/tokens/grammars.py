"""Grammars: splitting a molecule into tokens, and joining tokens to a molecule.

The input and output are SMILES, whatever the notation of a policy: the rest of the project uses no other notation.
The grammars of this module have no parameters; ``tokenizer_grammar`` has the grammar of a learnt tokenizer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import selfies

from molbuffer.samplers.errors import UnknownTokenError

_TOKEN = re.compile(r"\[[^\[\]]+\]|Br|Cl|%\(\d+\)|%\d{2}|[A-Za-z0-9]|[=#$:/\\\-+().~*@]")


class Grammar(Protocol):
    """A notation for molecules."""

    @property
    def name(self) -> str:
        """The name under which a vocabulary is stored."""
        ...

    @property
    def identity(self) -> tuple[str, ...]:
        """The texts, in addition to the tokens, that the sha256 of a vocabulary depends on."""
        ...

    def parameters(self) -> Mapping[str, Any]:
        """Return the parameters, as JSON values, from which the grammar can be made again."""
        ...

    def split(self, smiles: str) -> list[str]:
        """Split a molecule into tokens.

        Raises:
            UnknownTokenError: the notation cannot express the molecule.
        """
        ...

    def join(self, tokens: Sequence[str]) -> str:
        """Join tokens to a SMILES string, which may be no molecule."""
        ...


class SmilesGrammar:
    """SMILES: a token is an atom (bracket atoms, ``Cl`` and ``Br`` whole), a bond, a branch, or a ring closure."""

    name = "smiles"
    # Empty, so that SMILES vocabularies keep the sha256 that they had before there were other grammars.
    identity: tuple[str, ...] = ()

    def parameters(self) -> Mapping[str, Any]:
        return {}

    def split(self, smiles: str) -> list[str]:
        """Split a SMILES string into tokens whose concatenation is the string."""
        tokens = _TOKEN.findall(smiles)
        if sum(map(len, tokens)) != len(smiles):
            raise UnknownTokenError(smiles, _TOKEN.sub("", smiles)[0])
        return tokens

    def join(self, tokens: Sequence[str]) -> str:
        return "".join(tokens)


class SelfiesGrammar:
    """SELFIES (Krenn et al. 2020, doi:10.1088/2632-2153/aba947): any tokens make a molecule of usual valences.

    SELFIES writes aromatic rings with alternating bonds, so that splitting and joining a SMILES string gives another
    string of the same molecule.
    """

    name = "selfies"
    identity: tuple[str, ...] = (name,)

    def parameters(self) -> Mapping[str, Any]:
        return {}

    def split(self, smiles: str) -> list[str]:
        try:
            return list(selfies.split_selfies(selfies.encoder(smiles)))
        # For some strings that are no molecules, the encoder raises an IndexError or another of these errors.
        except (selfies.EncoderError, LookupError, ValueError, TypeError, AttributeError) as error:
            raise UnknownTokenError(smiles, smiles) from error

    def join(self, tokens: Sequence[str]) -> str:
        return str(selfies.decoder("".join(tokens)))


SMILES, SELFIES = SmilesGrammar(), SelfiesGrammar()
GRAMMARS: Mapping[str, Grammar] = {grammar.name: grammar for grammar in (SMILES, SELFIES)}
"""The grammars without parameters, by name."""
