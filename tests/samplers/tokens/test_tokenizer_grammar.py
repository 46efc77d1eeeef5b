from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from molbuffer.samplers.errors import UnknownTokenError
from molbuffer.samplers.tokens.tokenizer_grammar import TokenizerGrammar
from molbuffer.samplers.tokens.vocabulary import END, RESERVED, Vocabulary


def vocabulary_of(tokenizer: Tokenizer, longest: int = 64) -> Vocabulary:
    grammar = TokenizerGrammar.of_file(tokenizer.to_str().encode(), longest)
    tokens = sorted(token for token in tokenizer.get_vocab() if not token.startswith("<"))
    return Vocabulary((*RESERVED, *tokens), grammar)


@pytest.fixture(scope="module")
def vocabulary(huggingface: ModuleType, molecules: list[str]) -> Vocabulary:
    return vocabulary_of(huggingface.tokenizer_of(molecules))


def test_tokens_of_several_characters_make_the_string_again(vocabulary: Vocabulary, molecules: list[str]) -> None:
    tokens, lengths = vocabulary.encode_many(molecules)
    assert vocabulary.decode(tokens, lengths) == molecules
    assert max(len(token) for token in vocabulary.tokens[3:]) > 3
    assert lengths.sum() < 0.7 * sum(map(len, molecules))


def test_any_drawn_sequence_has_a_string_which_may_be_encoded_otherwise(vocabulary: Vocabulary) -> None:
    single = [vocabulary.ids[character] for character in "CC(=O)O"]
    rows = np.array([[*single, END]], np.uint8)
    assert vocabulary.decode(rows, np.array([len(single) + 1])) == ["CC(=O)O"]
    assert len(vocabulary.encode("CC(=O)O")) < len(single) + 1, "the tokenizer merges what the row has apart"


def test_a_vocabulary_comes_back_from_its_file(vocabulary: Vocabulary, molecules: list[str]) -> None:
    again = Vocabulary.from_json(vocabulary.to_json())
    assert again == vocabulary and again.sha256 == vocabulary.sha256
    assert [again.encode(text) for text in molecules] == [vocabulary.encode(text) for text in molecules]


def test_the_sha256_depends_on_the_tokenizer_and_on_the_positions(vocabulary: Vocabulary) -> None:
    grammar: Any = vocabulary.grammar
    longer = Vocabulary(vocabulary.tokens, TokenizerGrammar(grammar.tokenizer_json, 65))
    merged_less = grammar.tokenizer_json.replace('"merges":[[', '"merges":[["C","C"],[', 1)
    assert merged_less != grammar.tokenizer_json
    other = Vocabulary(vocabulary.tokens, TokenizerGrammar(merged_less, 64))
    assert len({each.sha256 for each in (vocabulary, longer, other, Vocabulary(vocabulary.tokens))}) == 4


def test_what_it_cannot_express_is_refused(vocabulary: Vocabulary) -> None:
    for text in ("[Xe]", "C<eos>C", "C C", " C"):
        with pytest.raises(UnknownTokenError):
            vocabulary.encode(text)
    with pytest.raises(UnknownTokenError, match="tokens, the model takes 63"):
        vocabulary.encode("C" * 700)


def test_blanks_at_the_ends_are_left_out_as_some_tokenizers_put_them_there() -> None:
    tokenizer = Tokenizer(models.BPE({"Ġ": 0, "C": 1, "O": 2, "<eos>": 3}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    vocabulary = vocabulary_of(tokenizer)
    assert vocabulary.grammar.split("CCO") == ["Ġ", "C", "C", "O"]
    tokens, lengths = vocabulary.encode_many(["CCO"])
    assert vocabulary.decode(tokens, lengths) == ["CCO"]


def test_words_without_a_decoder_are_joined_without_blanks() -> None:
    tokenizer = Tokenizer(models.WordLevel({"Cl": 0, "C": 1, "[nH]": 2, "<unk>": 3}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"\[[^\]]+\]|Cl|."), "isolated")
    vocabulary = vocabulary_of(tokenizer)
    assert vocabulary.grammar.split("CCl[nH]") == ["C", "Cl", "[nH]"]
    assert vocabulary.grammar.join(["C", "Cl"]) == "CCl"
    assert not vocabulary.can_encode("CBr")


def test_a_tokenizer_that_changes_a_string_cannot_express_it() -> None:
    tokenizer = Tokenizer(models.BPE({"c": 0, "o": 1}, []))
    tokenizer.normalizer = normalizers.Lowercase()
    vocabulary = vocabulary_of(tokenizer)
    assert vocabulary.can_encode("cco") and not vocabulary.can_encode("CCO")


@pytest.mark.parametrize(
    "text",
    [
        '{"kind": "tokenizer", "tokens": []}',
        '{"kind": "tokenizer", "tokens": [], "tokenizer": {}, "longest": 8}',
        '{"kind": "tokenizer", "tokens": [], "tokenizer": {"model": {"type": "?"}}, "longest": 8}',
        '{"kind": "words", "tokens": []}',
    ],
)
def test_files_that_are_no_vocabulary_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"vocabulary|tokenizer"):
        Vocabulary.from_json(text)
