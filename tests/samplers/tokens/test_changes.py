"""Token changes: one at a time, and nothing that a look at the tokens rules out."""

from pathlib import Path

import numpy as np
import pytest

from molbuffer.samplers.tokens.changes import TokenChanges, may_be_smiles
from molbuffer.samplers.tokens.grammars import SELFIES, SMILES
from molbuffer.samplers.tokens.vocabulary import Vocabulary
from molbuffer.scoring import parse_smiles

FILE = Path(__file__).parents[2] / "data/molecules.smi"
MOLECULES = [line.split()[0] for line in FILE.read_text().splitlines()]
VOCABULARY = Vocabulary.from_smiles(MOLECULES)
AROMATIC = [
    *("c1ccccc1c1ccccc1", "c1ccccc1-c1ccccc1", "c1ccc2c(c1)Cc1ccccc1-2", "O=c1cc[nH]cc1", "Cn1ccc(=O)cc1", "c1ccoc1"),
    *("c1cc[o+]cc1", "C[n+]1ccccc1", "c1cc[nH+]cc1", "C=c1ccc(=C)cc1", "[cH-]1cccc1", "[13cH]1ccccc1", "c1cc[se]c1"),
    *("c1ccn(=O)cc1", "C1=c2ccccc2=CC=C1", "c1:c:c:c:c:c:1", "n1ncnn1C", "[N-]=[N+]=NC"),
]


def is_good(text: str) -> bool:
    molecule = parse_smiles(text)
    return molecule is not None and not any(atom.GetNumRadicalElectrons() for atom in molecule.GetAtoms())


def test_molecules_may_be_smiles_and_most_of_the_rest_may_not() -> None:
    assert all(may_be_smiles(SMILES.split(text)) for text in MOLECULES)
    changes, rng = TokenChanges(VOCABULARY, plausible_only=False), np.random.default_rng(0)
    texts = [text for _ in range(20) for each in MOLECULES if (text := changes(each, rng)) is not None]
    good = [text for text in texts if is_good(text)]
    bad = [text for text in texts if not is_good(text)]
    refused = [text for text in good if not may_be_smiles(SMILES.split(text))]
    assert len(refused) < 0.06 * len(good), "odd spellings, such as a bond before an aromatic atom that is none"
    assert sum(not may_be_smiles(SMILES.split(text)) for text in bad) > 0.9 * len(bad)


def test_most_of_what_is_plausible_is_a_molecule_and_never_the_one_before() -> None:
    changes, rng = TokenChanges(VOCABULARY), np.random.default_rng(0)
    made = [(changes(each, rng), each) for _ in range(5) for each in MOLECULES]
    assert sum(text is not None and is_good(text) for text, _ in made) > 0.8 * len(made)
    assert all(text != each for text, each in made)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "C(",
        "C)C",
        "(C)C",
        "C()C",
        "C((C))C",
        "C1CC",
        "C11",
        "1CC1",
        "C=",
        "C==C",
        "=CC",
        "C(=)C",
        "C.",
        ".C",
        "FCF=C",
        "C=O=C",
        "C(C)(C)(C)(C)C",
        "CcC",
        "C[NH3+]C",
        "[O-]C([O-]C)",
        "C[C@H]C",
        "C[N+]C",
        "c1cccc1",
        "c1ccc2cccc2c1",
        "c1cc(=O)ccc1",
        "Cn1ccccc1",
        "c1ccccc1Cc",
    ],
)
def test_what_cannot_be_a_molecule(text: str) -> None:
    assert not may_be_smiles(SMILES.split(text))


@pytest.mark.parametrize(
    "text", ["C", "C.O", "C(F)(F)F", "C%12CC%12", "C1CC=1", "CS(=O)(=O)C", "c1cc[nH]c1", "C[N+](C)(C)C", *AROMATIC]
)
def test_what_may_be_one(text: str) -> None:
    assert may_be_smiles(SMILES.split(text))


def test_in_selfies_any_change_is_a_molecule() -> None:
    changes, rng = TokenChanges(Vocabulary.from_smiles(MOLECULES, SELFIES)), np.random.default_rng(0)
    made = [changes(text, rng) for text in MOLECULES[:30]]
    assert all(text and parse_smiles(text) is not None for text in made)


def test_what_the_grammar_cannot_express_is_not_changed() -> None:
    assert TokenChanges(VOCABULARY)("no molecule!", np.random.default_rng(0)) is None
