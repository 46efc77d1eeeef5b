"""Records of SD files hold the molecule and its properties, as RDKit reads them back."""

import io
from pathlib import Path

import pytest
from rdkit import Chem

from molbuffer.scoring import canonical_smiles, sdf_record

MOLECULES = Path(__file__).parents[2] / "data" / "molecules.smi"
HARD = [
    "C[C@H](N)C(=O)O",
    "C/C=C/C=C\\C",
    "[13CH3]C(=O)[O-].[Na+]",
    "[2H]OC",
    "c1ccc2[nH]ccc2c1",
    "[Fe]",
    "C[N+](C)(C)CC[O-]",
    "O=C1CC[C@@]2(C)[C@H](C1)CC[C@@H]1[C@@H]2CC[C@]2(C)[C@@H](O)CC[C@@H]12",
    "C" * 1200,
]


def read(text: str) -> list[Chem.Mol]:
    return list(Chem.ForwardSDMolSupplier(io.BytesIO(text.encode())))


def test_molecules_come_back_with_coordinates_and_configurations() -> None:
    texts = [line.split()[0] for line in MOLECULES.read_text().splitlines()[:150]] + HARD
    molecules = [Chem.MolFromSmiles(text) for text in texts]
    names = [canonical_smiles(molecule) for molecule in molecules]
    found = read("".join(str(sdf_record(name, {"smiles": name})) for name in names))
    assert [canonical_smiles(each) for each in found] == names
    assert [each.GetProp("smiles") for each in found] == names
    for molecule in found:
        conformer = molecule.GetConformer()
        assert not conformer.Is3D()
        assert molecule.GetNumAtoms() == 1 or conformer.GetPositions()[:, :2].std() > 0.1


def test_any_property_comes_back_and_ends_no_record() -> None:
    properties = {"a": "1.5", "ID <x>": "é\n\n$$$$\n> <b>\r\nc", "empty": "", "$$$$": "> <a>"}
    text = sdf_record("CCO", properties, "title\n1\n" + "x" * 100)
    assert text is not None
    first, second = read(text + str(sdf_record("C", {})))
    assert first.GetPropsAsDict(autoConvertStrings=False) == {
        "a": "1.5",
        "ID (x)": "é $$$$ > <b> c",
        "empty": "",
        "$$$$": "> <a>",
    }
    assert first.GetProp("_Name") == ("title 1 " + "x" * 100)[:80]
    assert (second.GetProp("_Name"), second.GetNumAtoms()) == ("", 1)


@pytest.mark.parametrize("text", ["", "C(", "CC O", "no molecule", "c1ccccc", "C\x00"])
def test_what_is_no_molecule_has_no_record(text: str) -> None:
    assert sdf_record(text, {}) is None
