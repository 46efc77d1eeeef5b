import hashlib
import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem

from molbuffer.samplers.base import encode_rows
from molbuffer.samplers.errors import UnknownTokenError
from molbuffer.samplers.tokens.grammars import SELFIES, SMILES, SmilesGrammar
from molbuffer.samplers.tokens.vocabulary import END, PAD, RESERVED, START, Vocabulary
from molbuffer.scoring import standardise_many

RING_BOND = st.sampled_from(["%12", "%99", "%(123)", "%(5)"])
ATOM = st.sampled_from(["C", "c", "N", "Cl", "Br", "[nH]", "[C@@H]", "[13CH3+]", "*"])
OTHER = st.sampled_from(["(", ")", "=", "#", "-", "/", "\\", ".", ":", "~", "$", "1", "0"])


@given(st.lists(st.one_of(RING_BOND, ATOM, OTHER), max_size=30))
def test_tokens_that_are_joined_are_found_again(tokens: list[str]) -> None:
    assert SMILES.split("".join(tokens)) == tokens


@given(draws=st.data())
def test_any_spelling_of_a_molecule_survives_encoding(draws: st.DataObject, molecules: list[str]) -> None:
    molecule = Chem.MolFromSmiles(draws.draw(st.sampled_from(molecules)))
    order = list(range(molecule.GetNumAtoms()))
    random.Random(draws.draw(st.integers(0, 10_000))).shuffle(order)
    spelling = Chem.MolToSmiles(Chem.RenumberAtoms(molecule, order), canonical=False)
    assert "".join(SMILES.split(spelling)) == spelling
    vocabulary = Vocabulary.from_smiles([spelling])
    tokens, lengths = vocabulary.encode_many([spelling])
    assert vocabulary.decode(tokens, lengths) == [spelling]


@pytest.mark.parametrize(
    ("smiles", "tokens"),
    [
        ("ClCBr", ["Cl", "C", "Br"]),
        ("C%12CC%12", ["C", "%12", "C", "C", "%12"]),
        ("C%(123)C%(123)", ["C", "%(123)", "C", "%(123)"]),
        ("C12CC1C2", ["C", "1", "2", "C", "C", "1", "C", "2"]),
        ("[13C@@H](F)[O-]", ["[13C@@H]", "(", "F", ")", "[O-]"]),
        ("F/C=C\\F", ["F", "/", "C", "=", "C", "\\", "F"]),
        ("Sc1ccncc1", ["S", "c", "1", "c", "c", "n", "c", "c", "1"]),
        ("", []),
    ],
)
def test_what_belongs_together_is_one_token(smiles: str, tokens: list[str]) -> None:
    assert SMILES.split(smiles) == tokens


@pytest.mark.parametrize(
    ("smiles", "character"), [("CC?O", "?"), ("C[NH", "["), ("C C", " "), ("C%1", "%"), ("Cé", "é")]
)
def test_an_unknown_character_is_named(smiles: str, character: str) -> None:
    with pytest.raises(UnknownTokenError) as caught:
        SMILES.split(smiles)
    assert caught.value.token == character
    assert caught.value.smiles == smiles
    assert repr(character) in str(caught.value)


def test_a_token_the_vocabulary_lacks_is_named(vocabulary: Vocabulary) -> None:
    with pytest.raises(UnknownTokenError, match=r"'\[Se\]'.*'C\[Se\]C'") as caught:
        vocabulary.encode("C[Se]C")
    assert caught.value.token == "[Se]"
    assert not vocabulary.can_encode("C[Se]C")
    assert not vocabulary.can_encode("C?C")
    assert vocabulary.can_encode("CCO")


def test_encoding_by_hand() -> None:
    vocabulary = Vocabulary((*RESERVED, "C", "Cl", "O"))
    tokens, lengths = vocabulary.encode_many(["CO", "ClCCl", ""])
    assert tokens.dtype == np.uint8
    assert tokens.tolist() == [[3, 5, END, PAD], [4, 3, 4, END], [END, PAD, PAD, PAD]]
    assert lengths.tolist() == [3, 4, 1]
    assert lengths.dtype == np.int32
    assert vocabulary.decode(tokens, lengths) == ["CO", "ClCCl", ""]


def test_strings_of_any_kind_are_encoded_once_each() -> None:
    vocabulary = Vocabulary((*RESERVED, "C", "O"), CountingGrammar())
    tokens, lengths = vocabulary.encode_expressible(["C", "CN", "C?", "CO"])
    assert tokens.tolist() == [[3, END, PAD], [PAD] * 3, [PAD] * 3, [3, 4, END]]
    assert lengths.tolist() == [2, 0, 0, 3]
    assert encode_rows(["CO", "N", "C"], vocabulary).lengths.tolist() == [3, 0, 2]
    assert vocabulary.grammar.asked == ["C", "CN", "C?", "CO", "CO", "N", "C"], "SELFIES takes 0.3 ms for each"


class CountingGrammar(SmilesGrammar):
    def __init__(self) -> None:
        self.asked: list[str] = []

    def split(self, smiles: str) -> list[str]:
        self.asked.append(smiles)
        return super().split(smiles)


def test_a_row_without_end_is_cut_at_its_length(vocabulary: Vocabulary) -> None:
    carbon, oxygen = vocabulary.ids["C"], vocabulary.ids["O"]
    tokens = np.array([[carbon, oxygen, carbon], [carbon, END, oxygen]], np.uint8)
    assert vocabulary.decode(tokens, np.array([2, 2])) == ["CO", "C"]


def test_encode_many_of_nothing(vocabulary: Vocabulary) -> None:
    tokens, lengths = vocabulary.encode_many([])
    assert tokens.shape[0] == 0
    assert lengths.shape == (0,)
    assert vocabulary.decode(tokens, lengths) == []


def test_large_vocabularies_take_two_bytes() -> None:
    few = Vocabulary((*RESERVED, *(f"[{i}C]" for i in range(253))))
    many = Vocabulary((*RESERVED, *(f"[{i}C]" for i in range(254))))
    assert (len(few), few.dtype) == (256, np.uint8)
    assert many.dtype == np.uint16
    tokens, lengths = many.encode_many(["[253C]"])
    assert tokens.tolist() == [[256, END]]
    assert many.decode(tokens, lengths) == ["[253C]"]


def test_from_smiles_does_not_depend_on_the_order(molecules: list[str]) -> None:
    assert Vocabulary.from_smiles(molecules) == Vocabulary.from_smiles(reversed(molecules))
    assert Vocabulary.from_smiles(["OCl"]).tokens == (*RESERVED, "Cl", "O")


def test_the_hash_names_the_tokens_and_their_order() -> None:
    one = Vocabulary((*RESERVED, "C", "O"))
    assert one.sha256 == Vocabulary((*RESERVED, "C", "O")).sha256
    assert one.sha256 != Vocabulary((*RESERVED, "O", "C")).sha256
    assert one.sha256 != Vocabulary((*RESERVED, "C", "O", "N")).sha256


def test_json_round_trip(vocabulary: Vocabulary) -> None:
    again = Vocabulary.from_json(vocabulary.to_json())
    assert again == vocabulary
    assert again.sha256 == vocabulary.sha256


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        json.dumps({"tokens": "C"}),
        json.dumps({"tokens": None}),
        json.dumps({"tokens": [*RESERVED, 5]}),
        json.dumps({"tokens": ["C", "O", "N"]}),
        json.dumps({"tokens": [*RESERVED, "C", "C"]}),
    ],
)
def test_a_malformed_file_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match="vocabulary"):
        Vocabulary.from_json(text)


def test_reserved_ids_are_what_the_tokens_say() -> None:
    assert (RESERVED[PAD], RESERVED[START], RESERVED[END]) == ("<pad>", "<start>", "<end>")


FILE = Path(__file__).parents[2] / "data/molecules.smi"


@pytest.fixture(scope="module")
def real_molecules() -> list[str]:
    found = standardise_many([line.split()[0] for line in FILE.read_text().splitlines()])
    return [smiles for smiles in found if smiles is not None]


def test_selfies_and_back_is_the_same_molecule(real_molecules: list[str]) -> None:
    vocabulary = Vocabulary.from_smiles(real_molecules, SELFIES)
    assert all(token.startswith("[") for token in vocabulary.tokens[3:])
    tokens, lengths = vocabulary.encode_many(real_molecules)
    assert standardise_many(vocabulary.decode(tokens, lengths)) == real_molecules


def test_any_selfies_tokens_are_a_molecule(real_molecules: list[str]) -> None:
    vocabulary = Vocabulary.from_smiles(real_molecules, SELFIES)
    rng = np.random.default_rng(0)
    tokens = rng.integers(3, len(vocabulary), (200, 30))
    drawn = vocabulary.decode(tokens, rng.integers(1, 30, 200))
    made = [smiles for smiles in standardise_many([text for text in drawn if text]) if smiles is not None]
    assert len(made) >= 190


def test_what_selfies_cannot_express_is_unknown(real_molecules: list[str]) -> None:
    vocabulary = Vocabulary.from_smiles(real_molecules, SELFIES)
    for smiles in ("*CC", "CC(", "not a molecule", "C[Xe]C", "F[Na+]Cl[2H]:S", "n%12%12N"):
        assert not vocabulary.can_encode(smiles)


def test_a_vocabulary_keeps_its_grammar_and_its_name(real_molecules: list[str]) -> None:
    ours, theirs = Vocabulary.from_smiles(["CCO"]), Vocabulary.from_smiles(["CCO"], SELFIES)
    assert Vocabulary.from_json(theirs.to_json()) == theirs != ours
    assert Vocabulary.from_json(ours.to_json()).grammar is SMILES
    # The name of a SMILES vocabulary is that of segments stored before there were others.
    assert ours.sha256 == hashlib.sha256(b"<pad>\n<start>\n<end>\nC\nO").hexdigest()
    assert Vocabulary(ours.tokens, SELFIES).sha256 != ours.sha256
    with pytest.raises(ValueError, match=r"smiles, selfies, .*'inchi'"):
        Vocabulary.from_json(ours.to_json().replace("smiles", "inchi"))
