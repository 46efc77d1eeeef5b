"""The vocabulary: encoding molecules as token ids, and decoding them.

The grammar of the vocabulary defines its tokens (``tokens.grammars``). Three ids are reserved: ``PAD`` fills a row of
tokens after its end; ``START`` is the input of a model before the first token and is never stored; ``END`` closes a
sequence, is stored, is counted in the length, and has a probability.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from molbuffer.samplers.errors import UnknownTokenError
from molbuffer.samplers.tokens.grammars import GRAMMARS, SMILES, Grammar
from molbuffer.samplers.tokens.tokenizer_grammar import TokenizerGrammar

PAD, START, END = 0, 1, 2
RESERVED = ("<pad>", "<start>", "<end>")


@dataclass(frozen=True)
class Vocabulary:
    """The ordered tokens of a policy; the id of a token is its index.

    Attributes:
        tokens: all tokens, the three reserved ones first.
        grammar: the grammar that the tokens belong to.
    """

    tokens: tuple[str, ...]
    grammar: Grammar = SMILES

    def __post_init__(self) -> None:
        if self.tokens[:3] != RESERVED:
            raise ValueError(f"a vocabulary starts with {RESERVED}, got {self.tokens[:3]}")
        if len(set(self.tokens)) != len(self.tokens):
            raise ValueError("a vocabulary lists a token twice")

    @classmethod
    def from_smiles(cls, smiles: Iterable[str], grammar: Grammar = SMILES) -> Vocabulary:
        """Return the vocabulary of the tokens that occur in the strings, in alphabetical order."""
        found: set[str] = set()
        for text in smiles:
            found.update(grammar.split(text))
        return cls((*RESERVED, *sorted(found)), grammar)

    @classmethod
    def from_json(cls, text: str) -> Vocabulary:
        """Return the vocabulary of a JSON text, as ``to_json`` returns it.

        Raises:
            ValueError: the text is not a vocabulary, or its grammar is unknown.
        """
        try:
            stored = json.loads(text)
            tokens, kind = stored["tokens"], stored.get("kind", SMILES.name)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"a vocabulary is a JSON object with a list 'tokens', got {text[:80]!r}") from error
        if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
            raise ValueError(f"a vocabulary needs a list of strings as its 'tokens', got {str(tokens)[:80]}")
        if kind == TokenizerGrammar.name:
            return cls(tuple(tokens), TokenizerGrammar.from_parameters(stored))
        if kind not in GRAMMARS:
            known = ", ".join((*GRAMMARS, TokenizerGrammar.name))
            raise ValueError(f"a vocabulary needs a kind of {known}, got {kind!r}")
        return cls(tuple(tokens), GRAMMARS[kind])

    def to_json(self) -> str:
        stored = {"kind": self.grammar.name, "tokens": list(self.tokens), **self.grammar.parameters()}
        return json.dumps(stored, indent=1, ensure_ascii=False)

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def ids(self) -> dict[str, int]:
        """The id of each token."""
        return {token: i for i, token in enumerate(self.tokens)}

    @cached_property
    def sha256(self) -> str:
        """The identity of the vocabulary, which is stored with segments of tokens."""
        return hashlib.sha256("\n".join((*self.grammar.identity, *self.tokens)).encode()).hexdigest()

    @property
    def dtype(self) -> type[np.uint8] | type[np.uint16]:
        """The smallest unsigned type that holds every id."""
        return np.uint8 if len(self.tokens) <= 256 else np.uint16

    def encode(self, smiles: str) -> list[int]:
        """Encode one string as token ids, END included.

        Raises:
            UnknownTokenError: the string has a token that the vocabulary lacks, or the grammar cannot express it.
        """
        tokens = self.grammar.split(smiles)
        try:
            return [self.ids[token] for token in tokens] + [END]
        except KeyError as error:
            raise UnknownTokenError(smiles, str(error.args[0])) from None

    def encode_many(self, smiles: Sequence[str]) -> tuple[NDArray[np.unsignedinteger], NDArray[np.int32]]:
        """Encode n strings as token ids [n, L], padded with PAD, and lengths [n], END counted.

        Raises:
            UnknownTokenError: a string has a token that the vocabulary lacks.
        """
        return self._padded([self.encode(text) for text in smiles])

    def encode_expressible(self, smiles: Sequence[str]) -> tuple[NDArray[np.unsignedinteger], NDArray[np.int32]]:
        """Encode strings as ``encode_many`` does; a string that the vocabulary cannot express has length 0."""
        return self._padded([self._encoded(text) or [] for text in smiles])

    def can_encode(self, smiles: str) -> bool:
        """Return whether every token of the string is in the vocabulary."""
        return self._encoded(smiles) is not None

    def _encoded(self, smiles: str) -> list[int] | None:
        """Encode one string; None if the vocabulary cannot express it."""
        try:
            return self.encode(smiles)
        except UnknownTokenError:
            return None

    def _padded(self, rows: Sequence[Sequence[int]]) -> tuple[NDArray[np.unsignedinteger], NDArray[np.int32]]:
        lengths = np.fromiter(map(len, rows), np.int32, len(rows))
        tokens = np.full((len(rows), int(lengths.max(initial=1))), PAD, self.dtype)
        for row, ids in zip(tokens, rows, strict=True):
            row[: len(ids)] = ids
        return tokens, lengths

    def decode(self, tokens: NDArray[np.integer], lengths: NDArray[np.integer]) -> list[str]:
        """Return the SMILES of token ids [n, L] with lengths [n], without END; a row without END ends at its length."""
        names = np.array(["" if i < len(RESERVED) else token for i, token in enumerate(self.tokens)], dtype=object)
        return [self.grammar.join(names[row[:length]]) for row, length in zip(tokens, lengths, strict=True)]
