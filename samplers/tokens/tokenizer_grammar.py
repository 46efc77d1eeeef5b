"""The grammar of a learnt tokenizer, such as byte pair encoding, whose tokens may have several characters of a SMILES.

One string has many token sequences. A model may draw any of them, while the tokenizer encodes a string as a single one.
So the string of a drawn row is decoded from its tokens, and encoding the string again may give other tokens.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

from molbuffer.samplers.errors import MissingExtraError, UnknownTokenError

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True)
class TokenizerGrammar:
    """SMILES in the tokens of a ``tokenizer.json``, as the library ``tokenizers`` reads it.

    Attributes:
        tokenizer_json: the content of the file, without dropout, truncation and padding.
        longest: the largest number of tokens of a row, END included, that the model has positions for; longer strings
            cannot be expressed.
    """

    tokenizer_json: str
    longest: int
    name: ClassVar[str] = "tokenizer"

    @classmethod
    def of_file(cls, content: bytes, longest: int) -> Self:
        """Return the grammar of a ``tokenizer.json``.

        Raises:
            ValueError: the content is no tokenizer.
            MissingExtraError: the library ``tokenizers`` is not installed.
        """
        stored = json.loads(content)
        if not isinstance(stored, dict) or not isinstance(stored.get("model"), dict):
            raise ValueError("a tokenizer is a JSON object with a table 'model'")
        stored |= {"truncation": None, "padding": None}
        if "dropout" in stored["model"]:
            stored["model"]["dropout"] = None
        grammar = cls(_json_text(stored), longest)
        _ = grammar.tokenizer
        return grammar

    @classmethod
    def from_parameters(cls, stored: Mapping[str, Any]) -> Self:
        """Return the grammar with the given parameters, as ``parameters`` returns them.

        Raises:
            ValueError: the parameters are invalid.
            MissingExtraError: the library ``tokenizers`` is not installed.
        """
        tokenizer, longest = stored.get("tokenizer"), stored.get("longest")
        if not isinstance(tokenizer, dict) or type(longest) is not int:
            raise ValueError("a vocabulary of kind 'tokenizer' needs a table 'tokenizer' and a whole number 'longest'")
        return cls.of_file(_json_text(tokenizer).encode(), longest)

    @property
    def identity(self) -> tuple[str, ...]:
        return self.name, hashlib.sha256(self.tokenizer_json.encode()).hexdigest(), str(self.longest)

    def parameters(self) -> Mapping[str, Any]:
        return {"tokenizer": json.loads(self.tokenizer_json), "longest": self.longest}

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of the library ``tokenizers``."""
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise MissingExtraError("a policy with a tokenizer", "transformers") from error
        try:
            return Tokenizer.from_str(self.tokenizer_json)
        except Exception as error:  # the library raises bare exceptions
            raise ValueError(f"the tokenizer cannot be read: {error}") from error

    def split(self, smiles: str) -> list[str]:
        """Split a SMILES string into the tokens that the tokenizer encodes it as.

        Raises:
            UnknownTokenError: the tokens do not decode to the string, since the tokenizer lacks tokens or changes the
                string, or there are too many tokens for the model.
        """
        tokens: list[str] = self.tokenizer.encode(smiles, add_special_tokens=False).tokens
        if self.join(tokens) != smiles:
            raise UnknownTokenError(smiles, smiles)
        if len(tokens) >= self.longest:
            raise UnknownTokenError(smiles, smiles, f"it has {len(tokens)} tokens, the model takes {self.longest - 1}")
        return tokens

    def join(self, tokens: Sequence[str]) -> str:
        """Join tokens to a string, without the blanks that some tokenizers add at its ends."""
        present = [token for token in tokens if token]
        decoder = self.tokenizer.decoder
        text = "".join(present) if decoder is None else decoder.decode(present)
        return str(text).strip()


def _json_text(stored: Mapping[str, Any]) -> str:
    # Keys are not sorted, since the order of added tokens and of merges has a meaning.
    return json.dumps(stored, ensure_ascii=False, separators=(",", ":"))
