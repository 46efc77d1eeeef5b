"""CXSMILES: what a plain SMILES cannot say makes a configuration unknown, or the row no molecule."""

import pytest
from rdkit import Chem

from molbuffer.scoring import plain_smiles, standardise_smiles

CENTRE, TWO, UNKNOWN = "C[C@H](F)Cl", "C[C@H](F)[C@@H](Cl)Br", "CC(F)Cl"


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (f"{CENTRE} |&1:1|", UNKNOWN),
        (f"{CENTRE} |o1:1,r|", UNKNOWN),
        (f"{CENTRE} |a:1|", CENTRE),
        (f"{TWO} |&1:1,3|", "CC(F)C(Cl)Br"),
        (f"{TWO} |a:1,o1:3|", "CC(C(Cl)Br)F".replace("CC(", "C[C@@H](")),
        ("OCC |&1:1| ethanol", "OCC"),
        ("OCC |$a;b;c$,(0,0,;1,0,;2,0,)|", "OCC"),
        ("OCC |SgD:0:note:yes::::|", "OCC"),
        ("C1CCCCCCC=C1 |t:7|", "C1=C/CCCCCCC/1"),
        ("C[CH2] |^1:1|", "C[CH2]"),
        ("OCC", "OCC"),
    ],
)
def test_the_plain_form_says_what_is_known(text: str, plain: str) -> None:
    assert Chem.CanonSmiles(plain_smiles(text)) == Chem.CanonSmiles(plain)


@pytest.mark.parametrize(
    "text",
    [
        *("CCC |Sg:n:1:n:ht|", "*CC |m:0:1.2|", "C1CC1CC |LN:1:1.3|", "Cc1cccc(F)c1-c1c(C)cccc1F |wU:7.7|"),
        *("CC |u:0|", "C1 |a:1|", "CC |", "CC |x", "CC ethane"),
    ],
)
def test_what_no_plain_form_can_say_is_no_molecule(text: str) -> None:
    assert plain_smiles(text) == text
    assert standardise_smiles(plain_smiles(text)) is None


def test_too_long_a_smiles_is_not_read() -> None:
    assert plain_smiles("C" * 5_000 + " |&1:1|") == "C" * 5_000
