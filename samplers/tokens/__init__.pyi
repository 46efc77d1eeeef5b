from .changes import TokenChanges
from .tokenizer_grammar import TokenizerGrammar
from .vocabulary import END, PAD, RESERVED, START, Vocabulary

__all__ = [
    "END",
    "PAD",
    "RESERVED",
    "START",
    "TokenChanges",
    "TokenizerGrammar",
    "Vocabulary",
]
