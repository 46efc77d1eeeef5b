"""The vocabulary: how a SMILES string becomes token ids and back.

A token is an atom (bracket atoms whole, ``Cl`` and ``Br`` whole), a bond, a branch, or a ring closure (``%12`` whole).
Three ids are reserved: ``PAD`` fills a row of tokens after its end, ``START`` is what a model is given before the
first token and is never stored, ``END`` closes a sequence, is stored, counted in the length, and has a probability.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from samplers.errors import UnknownTokenError

PAD, START, END = 0, 1, 2
RESERVED = ("<pad>", "<start>", "<end>")

_TOKEN = re.compile(r"\[[^\[\]]+\]|Br|Cl|%\(\d+\)|%\d{2}|[A-Za-z0-9]|[=#$:/\\\-+().~*@]")


def tokenize(smiles: str) -> list[str]:
    """Splits a SMILES string into tokens whose concatenation is the string again.

    Raises:
        UnknownTokenError: a character belongs to no SMILES token.
    """
    tokens = _TOKEN.findall(smiles)
    if sum(map(len, tokens)) != len(smiles):
        raise UnknownTokenError(smiles, _TOKEN.sub("", smiles)[0])
    return tokens


@dataclass(frozen=True)
class Vocabulary:
    """The ordered tokens a policy can read and write; the id of a token is its place.

    Attributes:
        tokens: every token, the three reserved ones first.
    """

    tokens: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.tokens[:3] != RESERVED:
            raise ValueError(f"a vocabulary starts with {RESERVED}, got {self.tokens[:3]}")
        if len(set(self.tokens)) != len(self.tokens):
            raise ValueError("a vocabulary lists a token twice")

    @classmethod
    def from_smiles(cls, smiles: Iterable[str]) -> Vocabulary:
        """The vocabulary of the tokens that occur in the strings, in alphabetical order."""
        found: set[str] = set()
        for text in smiles:
            found.update(tokenize(text))
        return cls((*RESERVED, *sorted(found)))

    @classmethod
    def from_json(cls, text: str) -> Vocabulary:
        """Reads what ``to_json`` wrote.

        Raises:
            ValueError: the text is not a vocabulary.
        """
        try:
            tokens = json.loads(text)["tokens"]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"a vocabulary is a JSON object with a list 'tokens', got {text[:80]!r}") from error
        if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
            raise ValueError(f"a vocabulary needs a list of strings as its 'tokens', got {str(tokens)[:80]}")
        return cls(tuple(tokens))

    def to_json(self) -> str:
        return json.dumps({"kind": "smiles", "tokens": list(self.tokens)}, indent=1, ensure_ascii=False)

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def ids(self) -> dict[str, int]:
        """The id of each token."""
        return {token: i for i, token in enumerate(self.tokens)}

    @cached_property
    def sha256(self) -> str:
        """The identity of the vocabulary: segments of stored tokens name it."""
        return hashlib.sha256("\n".join(self.tokens).encode()).hexdigest()

    @property
    def dtype(self) -> type[np.uint8] | type[np.uint16]:
        """The smallest unsigned type that holds every id."""
        return np.uint8 if len(self.tokens) <= 256 else np.uint16

    def encode(self, smiles: str) -> list[int]:
        """The token ids of one string, END included.

        Raises:
            UnknownTokenError: the string has a token that the vocabulary lacks.
        """
        tokens = tokenize(smiles)
        try:
            return [self.ids[token] for token in tokens] + [END]
        except KeyError as error:
            raise UnknownTokenError(smiles, str(error.args[0])) from None

    def encode_many(self, smiles: Sequence[str]) -> tuple[NDArray[np.unsignedinteger], NDArray[np.int32]]:
        """Token ids [n, L] padded with PAD, and lengths [n] (END counted), of n strings.

        Raises:
            UnknownTokenError: a string has a token that the vocabulary lacks.
        """
        rows = [self.encode(text) for text in smiles]
        lengths = np.fromiter(map(len, rows), np.int32, len(rows))
        tokens = np.full((len(rows), int(lengths.max(initial=1))), PAD, self.dtype)
        for row, ids in zip(tokens, rows, strict=True):
            row[: len(ids)] = ids
        return tokens, lengths

    def can_encode(self, smiles: str) -> bool:
        """Whether every token of the string is in the vocabulary."""
        try:
            self.encode(smiles)
        except UnknownTokenError:
            return False
        return True

    def decode(self, tokens: NDArray[np.integer], lengths: NDArray[np.integer]) -> list[str]:
        """The strings of token ids [n, L] with lengths [n]; END is dropped, and an unended row is cut at its length."""
        names = np.array(["" if i < len(RESERVED) else token for i, token in enumerate(self.tokens)], dtype=object)
        return ["".join(names[row[:length]]) for row, length in zip(tokens, lengths, strict=True)]
